//! Servers as processes of their own, on cores of their own.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bench::Failure;

use crate::{
    client::{Connection, get},
    database::Database,
};

/// The core that servers run on, and what they are compared with.
pub(crate) const SERVERS: &str = "0";
/// Both.
pub(crate) const ALL: &str = "0,1";
/// The core of what asks them.
pub(crate) const GENERATOR: &str = "1";

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
    /// From its start to its first answer.
    pub(crate) started_in: Duration,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program, on these cores alone.
pub(crate) fn on_cores(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores]).arg(program);
    command
}

/// Puts this program on its core.
pub(crate) fn pin_generator() -> Result<(), Failure> {
    let process = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["--all-tasks", "--pid", "--cpu-list", GENERATOR, &process])
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("taskset is needed (Debian's package 'util-linux'): {error}"))?;
    if pinned.success() {
        Ok(())
    } else {
        Err("two cores are needed: one for the server, one to ask from".into())
    }
}

impl Server {
    /// `saas-server` as it ships, on a database, with these settings besides.
    pub(crate) async fn product(
        program: &Path,
        database: &Database,
        cores: &str,
        settings: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let mut command = on_cores(cores, program);
        command
            .current_dir(database.folder())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("DATABASE_URL", database.url())
            // All clients come from one address.
            .env("MAX_CONNECTIONS_PER_ADDRESS", "0")
            .envs(settings.iter().copied());
        Self::start(command, database.folder().join("server.log")).await
    }

    /// The bare server that all are compared with.
    pub(crate) async fn hello(folder: &Path) -> Result<Self, Failure> {
        let mut command = on_cores(SERVERS, &std::env::current_exe()?);
        command.arg("hello");
        Self::start(command, folder.join("hello.log")).await
    }

    async fn start(mut command: Command, log: PathBuf) -> Result<Self, Failure> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        // Appending, so that the file can be cut.
        let stderr = File::options().create(true).append(true).open(&log)?;
        command
            .env("PORT", address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let begun = Instant::now();
        let mut server = Self { child: command.spawn()?, address, log, started_in: Duration::ZERO };
        while begun.elapsed() < Duration::from_secs(30) {
            if server.answers().await {
                server.started_in = begun.elapsed();
                return Ok(server);
            }
            if server.child.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(format!("a server did not start: {}", std::fs::read_to_string(&server.log)?).into())
    }

    async fn answers(&self) -> bool {
        let Ok(mut connection) = Connection::open(self.address).await else { return false };
        connection.exchange(&get("/health/ready", None)).await.is_ok_and(|answer| answer.status == 200)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Stops it as an operator does.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let asked = Command::new("kill").arg(self.process().to_string()).status()?;
        let ended = self.child.wait()?;
        if asked.success() && ended.success() {
            Ok(())
        } else {
            Err("a server did not stop by itself".into())
        }
    }

    /// Empties its log: at full speed it grows by megabytes a second.
    pub(crate) fn cut_log(&self) -> Result<(), Failure> {
        Ok(File::options().write(true).open(&self.log)?.set_len(0)?)
    }
}
