//! How much the product costs: requests a second and processor time per request, against a bare hyper server and against what a request
//! cannot do without; memory, start and size; and what a crowd at the door does to those inside.
//!
//! ```text
//! cargo build --release -p saas-http -p bench
//! scripts/with-services target/release/load
//! target/release/load --engine sqlite --only me,refresh --seconds 2
//! target/release/load timing --pairs 100
//! ```
//!
//! Servers run on core 0, what asks them on core 1. Tables in Markdown go to stdout, words to stderr.

mod account;
mod arguments;
mod bare;
mod client;
mod database;
mod drive;
mod hello;
mod machine;
mod report;
mod scenarios;
mod server;
mod timing;

use std::process::ExitCode;

use arguments::Arguments;
use bench::Failure;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        // Processes that this program starts of itself.
        Some("hello") => hello::run(),
        Some("bare") => bare::run(&words[1..]),
        _ => measure(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::progress(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn measure(words: &[String]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if words.first().is_some_and(|word| word == "timing") {
        server::pin_generator()?;
        return runtime.block_on(timing::run(&words[1..]));
    }
    let arguments = Arguments::parse(words)?;
    server::pin_generator()?;
    runtime.block_on(async {
        machine::show(&arguments, words).await?;
        scenarios::run(&arguments).await
    })
}
