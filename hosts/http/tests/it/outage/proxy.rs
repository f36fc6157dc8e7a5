//! A proxy before PostgreSQL, in the test's own threads.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They go through.
    Pass,
    /// They are closed, those that are there and those that come.
    Refuse,
    /// They stay open, and nothing comes of them: neither those that are there nor those that come.
    Swallow,
}

impl Mode {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Pass => "passing",
            Self::Refuse => "connections refused",
            Self::Swallow => "connections swallowed",
        }
    }
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// Both ends of each connection.
    open: Vec<TcpStream>,
}

#[derive(Debug)]
pub(super) struct Proxy {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// One before the server of this URL.
    pub(super) fn before(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
        let (user, rest) = rest.split_once('@').expect("the URL names a user");
        let (server, database) = rest.split_once('/').expect("the URL names a database");
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port is there");
        let address = listener.local_addr().expect("it has an address");
        let state = Arc::new(Mutex::new(State { mode: Mode::Pass, open: Vec::new() }));
        let of_all = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut state = of_all.lock().unwrap_or_else(PoisonError::into_inner);
                match state.mode {
                    Mode::Refuse => drop(client),
                    Mode::Swallow => state.open.push(client),
                    Mode::Pass => {
                        let Ok(server) = TcpStream::connect(&server) else { continue };
                        for (from, to) in [(&client, &server), (&server, &client)] {
                            let (from, to) = (copy_of(from), copy_of(to));
                            let state = Arc::clone(&of_all);
                            thread::spawn(move || forward(from, to, &state));
                        }
                        state.open.extend([client, server]);
                    }
                }
            }
        });
        Self { url: format!("{scheme}://{user}@{address}/{database}"), state }
    }

    /// The database's URL through it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What becomes of connections from now on. Those that are there end, unless they are to be swallowed.
    pub(super) fn set(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.mode = mode;
        if mode != Mode::Swallow {
            for stream in state.open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn copy_of(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a socket can be cloned")
}

fn forward(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut bytes) {
        while state.lock().unwrap_or_else(PoisonError::into_inner).mode == Mode::Swallow {
            thread::sleep(Duration::from_millis(5));
        }
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
