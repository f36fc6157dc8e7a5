//! What the program says of itself: no setting is read for it, and nothing is opened.

use std::{fs, path::Path};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man as Page;
use serde::Serialize;

use crate::{
    arguments::{Arguments, Man},
    context::Context,
    failure::Failure,
    output,
};

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

pub(crate) fn version(context: &Context) -> Result<(), Failure> {
    let version = Version { name: "saas", version: env!("CARGO_PKG_VERSION") };
    context.out().data(&version, |version| format!("{} {}\n", version.name, version.version))
}

pub(crate) fn openapi() -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(&saas_http::openapi());
    output::text(&(json.map_err(|error| Failure::io("no JSON could be made", &error.into()))? + "\n"))
}

pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "saas", &mut script);
    output::text(&String::from_utf8_lossy(&script))
}

pub(crate) fn man(arguments: &Man) -> Result<(), Failure> {
    let command = Arguments::command();
    if let Some(folder) = &arguments.dir {
        return write_pages(folder, command).map_err(|error| {
            Failure::io(format!("no pages could be written to {}", folder.display()), &error)
        });
    }
    let mut page = Vec::new();
    let rendered = Page::new(command).render(&mut page);
    rendered.map_err(|error| Failure::io("the page could not be made", &error))?;
    output::text(&String::from_utf8_lossy(&page))
}

fn write_pages(folder: &Path, command: clap::Command) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}
