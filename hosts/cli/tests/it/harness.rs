//! A folder, the program in it, and what it said.

use std::{
    fmt,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStderr, ChildStdin, Command, Output, Stdio},
};

use saas_kit::testing::{TestDatabase, TestEngine};
use serde_json::Value;

/// A password that is good enough, and that no output may hold.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Makes tests of functions that take a [`Place`], one for each engine.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&crate::harness::Place::on(saas_kit::testing::TestEngine::Sqlite));
            })*
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[test]
            fn $name() {
                super::$name(&crate::harness::Place::on(saas_kit::testing::TestEngine::Postgres));
            })*
        }
    };
}
pub(crate) use on_both_engines;

/// An empty folder to run the program in, and a database.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    database: Option<TestDatabase>,
}

impl Place {
    /// With nothing set.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made"), database: None }
    }

    /// With a database of that engine, empty.
    pub(crate) fn on(engine: TestEngine) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { database: Some(runtime.block_on(TestDatabase::create(engine))), ..Self::empty() }
    }

    /// The database's address.
    pub(crate) fn url(&self) -> &str {
        self.database.as_ref().expect("it has a database").url()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program with these arguments, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_saas"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("COLUMNS", "80")
            // Hashes that cost nothing: what they cost is tested elsewhere.
            .env("PASSWORD_HASH_MEMORY_KIB", "64")
            .env("PASSWORD_HASH_ITERATIONS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(database) = &self.database {
            command.env("DATABASE_URL", database.url());
        }
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        Done::of(&self.command(arguments).output().expect("the program starts"))
    }

    /// Runs it to its end with these variables.
    pub(crate) fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Done {
        let mut command = self.command(arguments);
        Done::of(&command.envs(environment.iter().copied()).output().expect("the program starts"))
    }

    /// Runs it to its end on what stdin holds.
    pub(crate) fn run_on(&self, arguments: &[&str], stdin: &str) -> Done {
        self.run_with_input(arguments, &[], stdin)
    }

    /// Runs it to its end with these variables, on what stdin holds.
    pub(crate) fn run_with_input(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        stdin: &str,
    ) -> Done {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied()).stdin(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut pipe = child.stdin.take().unwrap();
        // One that refuses its arguments reads nothing.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        Done::of(&child.wait_with_output().expect("the program ends"))
    }

    /// Registers somebody with [`PASSWORD`].
    pub(crate) fn register(&self, email: &str) -> Value {
        let done = self.run_on(
            &[
                "users",
                "create",
                email,
                "--tenant-name",
                "Test Tenant",
                "--password-stdin",
                "--output",
                "json",
            ],
            &format!("{PASSWORD}\n"),
        );
        assert_eq!(done.code, 0, "{done}");
        done.json()
    }
}

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the output is text");
        let done = Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        for text in [&done.stdout, &done.stderr] {
            assert!(!text.contains(PASSWORD) && !text.split(['"', ' ', '\n']).any(is_token), "{done}");
        }
        done
    }

    /// What was written for programs.
    pub(crate) fn json(&self) -> Value {
        let json: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"));
        assert_eq!(json["schema"], 1, "{self}");
        json
    }

    /// The last line of stderr, as an error for programs.
    pub(crate) fn error(&self) -> Value {
        let line = self.stderr.lines().last().unwrap_or_default();
        let json: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}"));
        assert_eq!(json["schema"], 1, "{self}");
        json["error"].clone()
    }
}

/// Whether it is a token and not an example of one, cut short.
fn is_token(word: &str) -> bool {
    word.len() > 40 && (word.starts_with("saas_rt_") || word.starts_with("eyJ"))
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr } = self;
        write!(f, "exit code {code}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}

/// Snapshots without what changes from run to run.
pub(crate) fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, with) in [
        ("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "[id]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
        (r"\b\d{4}-\d\d-\d\d\b", "[day]"),
        (r"\d+\.\d s\b", "[elapsed]"),
        ("[A-Za-z0-9_-]{43}", "[kid]"),
        (r"(sqlite:/|postgres://)[^ \n]*", "[database]"),
        ("analytical-engines-[0-9a-f]{4}", "analytical-engines-[hex]"),
        (r"127\.0\.0\.1:\d+", "[address]"),
        (r"\b[0-9a-f]{8}\b", "[data key]"),
    ] {
        settings.add_filter(pattern, with);
    }
    settings
}

/// A server that runs; dropping this kills it.
pub(crate) struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) address: String,
    pub(crate) heard: String,
}

impl Server {
    pub(crate) fn start(place: &Place) -> Self {
        let mut command = place.command(&["serve", "--set", "PORT=0", "--set", "LOG_FORMAT=json"]);
        let mut child = command.spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut server = Self { child, log, address: String::new(), heard: String::new() };
        while server.address.is_empty() {
            let line = server.line().unwrap_or_else(|| panic!("it listens:\n{}", server.heard));
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "listening" {
                event["address"].as_str().expect("it says where").clone_into(&mut server.address);
            }
        }
        server
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.log.read_line(&mut line).expect("the log is text");
        self.heard += &line;
        (read > 0).then_some(line)
    }

    /// Sends a signal; the exit code and everything that it said.
    pub(crate) fn stop(mut self, name: &str) -> (Option<i32>, String) {
        signal(&self.child, name);
        while self.line().is_some() {}
        (self.child.wait().expect("the program ends").code(), std::mem::take(&mut self.heard))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already in a test that passes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()));
}

/// A program that is being talked to.
pub(crate) struct Talk {
    pub(crate) child: Child,
    pub(crate) stdin: ChildStdin,
}

impl Talk {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin }
    }

    /// Says a line.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the program listens");
        self.stdin.flush().expect("the program listens");
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Done {
        Done::of(&self.child.wait_with_output().expect("the program ends"))
    }
}
