//! What is read from stdin: passwords without an echo, and lines.

use std::io::{self, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use saas_core::Secret;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use crate::{
    arguments::PasswordFrom,
    failure::{Exit, Failure},
    output,
};

/// Stdin, line by line.
#[derive(Debug)]
pub(crate) struct Input {
    lines: Lines<BufReader<Stdin>>,
    terminal: bool,
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

impl Input {
    pub(crate) fn new() -> Self {
        Self { lines: BufReader::new(tokio::io::stdin()).lines(), terminal: io::stdin().is_terminal() }
    }

    /// Whether somebody types.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The next line; `None` at the end.
    pub(crate) async fn line(&mut self) -> Result<Option<String>, Failure> {
        self.lines.next_line().await.map_err(|error| Failure::io("stdin cannot be read", &error))
    }

    /// A password that is there already.
    pub(crate) async fn password(&mut self, from: PasswordFrom) -> Result<Secret<String>, Failure> {
        if from.password_stdin {
            return self.secret_line().await;
        }
        self.ask("Password: ").await
    }

    /// A password that is new: on a terminal it is typed twice.
    pub(crate) async fn new_password(&mut self, from: PasswordFrom) -> Result<Secret<String>, Failure> {
        let password = self.password(from).await?;
        if !from.password_stdin && !self.ask("Once more: ").await?.equals(password.expose().as_bytes()) {
            return Err(Failure::new(Exit::Usage, "passwords_differ", "the two passwords are not the same"));
        }
        Ok(password)
    }

    /// A code of a second factor, or a recovery code: on a terminal it is asked for, else it is the next line.
    pub(crate) async fn second_factor(&mut self, from: PasswordFrom) -> Result<Secret<String>, Failure> {
        let needed =
            || Failure::new(Exit::Usage, "second_factor_needed", "a code of the second factor is needed");
        if from.password_stdin {
            let line = self.line().await?.map(Secret::new).filter(|line| !line.expose().is_empty());
            return line
                .ok_or_else(|| needed().with_hint("write it to stdin, on the line after the password"));
        }
        self.ask("Code of the authenticator app, or a recovery code: ").await
    }

    async fn ask(&mut self, prompt: &str) -> Result<Secret<String>, Failure> {
        if !self.terminal {
            let text = "a password is needed, and stdin is no terminal to ask for it on";
            return Err(Failure::new(Exit::Usage, "password_needed", text)
                .with_hint("write it to stdin, with --password-stdin"));
        }
        output::raw(prompt);
        let silence =
            Silence::begin().map_err(|error| Failure::io("the terminal cannot be silenced", &error))?;
        let line = self.secret_line().await;
        drop(silence);
        output::raw("\n");
        line
    }

    async fn secret_line(&mut self) -> Result<Secret<String>, Failure> {
        let line = self.line().await?.map(Secret::new).filter(|line| !line.expose().is_empty());
        line.ok_or_else(|| Failure::new(Exit::Usage, "password_needed", "the password is empty"))
    }
}
