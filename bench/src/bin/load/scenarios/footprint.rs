//! What the server takes before anybody asks it anything: memory, time to start, room on the disk.

use std::time::Duration;

use bench::{Failure, resident};

use super::{Scenario, on_database};
use crate::{
    arguments::Arguments,
    database::{Database, Engine},
    report::{Table, mebibytes, median, number, progress},
    server::{SERVERS, Server},
};

const STARTS: usize = 20;

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut table = Table::new(&["what", "engine", "figure"]);
    let idle = arguments.seconds * 3;
    for &engine in arguments.engines.iter().filter(|_| arguments.wants(Scenario::Memory)) {
        progress(&format!("memory on {engine}"));
        let memory = on_database(engine, async |database| memory(arguments, database, idle).await).await?;
        let what = format!("memory (RSS), {} s after it listens", idle.as_secs());
        table.add([what, engine.to_string(), mebibytes(memory)]);
    }
    if arguments.wants(Scenario::Start) {
        progress("starts");
        let millis = on_database(Engine::Sqlite, async |database| start(arguments, database).await).await?;
        let what = format!("from a further start to the first 200 of `/health/ready`, median of {STARTS}");
        table.add([what, Engine::Sqlite.to_string(), format!("{} ms", number(millis))]);
    }
    if arguments.wants(Scenario::Size) {
        let size = std::fs::metadata(&arguments.server)?.len();
        table.add(["size of `saas-server`, stripped".to_owned(), "both".to_owned(), mebibytes(size)]);
    }
    Ok(table.show("At rest")?)
}

async fn memory(arguments: &Arguments, database: &Database, idle: Duration) -> Result<u64, Failure> {
    let server = Server::product(&arguments.server, database, SERVERS, &[]).await?;
    tokio::time::sleep(idle).await;
    resident(server.process())
}

/// In milliseconds; the first start, which makes the database and the keys, does not count.
async fn start(arguments: &Arguments, database: &Database) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for _ in 0..=STARTS {
        let server = Server::product(&arguments.server, database, SERVERS, &[]).await?;
        times.push(server.started_in.as_secs_f64() * 1e3);
        server.stop()?;
    }
    Ok(median(times.split_off(1)))
}
