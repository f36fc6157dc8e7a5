//! `docs/guides/auth.md`, run from its first line to its last.

use std::{
    fmt::Write,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{Place, on_both_engines};

on_both_engines! {
    the_guide_says_what_happens,
}

const GUIDE: &str = include_str!("../../../../docs/guides/auth.md");

/// A block of the guide: what its fence says, and its lines.
type Block = (&'static str, &'static str);

fn blocks() -> Vec<Block> {
    let fenced = GUIDE.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a block has lines")).collect()
}

/// The server of the guide, which ends when this goes.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// With the settings that the guide names.
    fn start(place: &Place, said: &str) -> Self {
        let log = place.path().join("server.log");
        let words: Vec<&str> = said.split_whitespace().collect();
        let (settings, program): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.contains('='));
        assert_eq!(program, ["saas", "serve"]);
        let mut command = place.command(&["serve"]);
        command
            .envs(settings.iter().filter_map(|setting| setting.split_once('=')))
            .envs([("PORT", "0"), ("LOG_FORMAT", "json")])
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let mut server = Self { child: command.spawn().expect("the program starts"), address: String::new() };
        let begun = Instant::now();
        while server.address.is_empty() {
            let text = fs::read_to_string(&log).unwrap();
            let running = server.child.try_wait().unwrap().is_none();
            assert!(running && begun.elapsed() < Duration::from_mins(1), "{text}");
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let listening = lines.find(|line| line["message"] == "listening");
            server.address =
                listening.map(|line| line["address"].as_str().unwrap().to_owned()).unwrap_or_default();
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already in a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One script of all blocks that are run, each with an output of its own.
fn script(blocks: &[Block]) -> String {
    let mut script = "set -euo pipefail\n".to_owned();
    for (number, (_, lines)) in blocks.iter().enumerate().filter(|(_, (kind, _))| *kind == "sh") {
        write!(script, "exec >said.{number}\n{lines}").unwrap();
    }
    script
}

fn the_guide_says_what_happens(place: &Place) {
    let blocks = blocks();
    let (_, started) = blocks.iter().find(|(kind, _)| *kind == "text server").expect("it starts a server");
    let server = Server::start(place, started);
    let program = Path::new(env!("CARGO_BIN_EXE_saas")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    fs::write(place.path().join("guide.sh"), script(&blocks)).unwrap();
    // The environment of the program, for the commands of the guide.
    let mut shell = Command::new("bash");
    shell
        .arg("guide.sh")
        .current_dir(place.path())
        .env_clear()
        .envs(place.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", format!("{}:{path}", program.display()))
        .env("API", format!("http://{}", server.address));
    let done = shell.output().expect("bash runs");
    let mut run = 0;
    for (number, (_, lines)) in blocks.iter().enumerate().filter(|(_, (kind, _))| *kind == "sh") {
        let said = fs::read_to_string(place.path().join(format!("said.{number}"))).unwrap_or_default();
        let answer = fs::read_to_string(place.path().join("answer.json")).unwrap_or_default();
        let expected =
            blocks.get(number + 1).filter(|(kind, _)| *kind == "text").map_or("", |(_, text)| *text);
        assert_eq!(said, expected, "{lines}\n{}\n{answer}", String::from_utf8_lossy(&done.stderr));
        run += 1;
    }
    assert!(done.status.success() && run > 10, "{done:?}");
}
