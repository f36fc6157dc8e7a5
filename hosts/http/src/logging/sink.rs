//! Where log lines are gathered for a moment: a system call for each would cost a small request as much as its answer does.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long a line waits at most, unless the process is killed.
const PATIENCE: Duration = Duration::from_millis(50);

/// How many bytes wait at most: who adds more writes them all.
const ROOM: usize = 64 * 1024;

/// Lines on their way to stderr. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// One write after the other, in the order of the lines.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    ending: bool,
}

impl Sink {
    /// Adds whole lines. Urgent ones, and what waits before them, are written before this returns.
    pub(super) fn add(&self, lines: &[u8], urgent: bool) {
        let mut waiting = self.lock();
        let idle = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(lines);
        let full = waiting.lines.len() > ROOM;
        drop(waiting);
        if urgent || full {
            self.flush();
        } else if idle {
            self.0.changed.notify_one();
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&self) {
        // Taken first, so that nobody's later lines overtake these.
        let turn = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut self.lock().lines);
        // A log that cannot be written (a full disk, a closed pipe) must not be what ends the server.
        let _ = io::stderr().lock().write_all(&lines);
        drop(turn);
    }

    /// What waits, for a test.
    #[cfg(test)]
    pub(super) fn taken(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().lines)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread that writes lines when they have waited long enough.
    pub(super) fn start(&self) -> io::Result<Flusher> {
        let sink = self.clone();
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || sink.run())?;
        Ok(Flusher { sink: self.clone(), thread: Some(thread) })
    }

    fn run(&self) {
        loop {
            let waiting = self.lock();
            let some = self.0.changed.wait_while(waiting, |it| it.lines.is_empty() && !it.ending);
            let ending = some.unwrap_or_else(PoisonError::into_inner).ending;
            if !ending {
                let waiting = self.lock();
                let gathered = self.0.changed.wait_timeout_while(waiting, PATIENCE, |it| !it.ending);
                drop(gathered.unwrap_or_else(PoisonError::into_inner));
            }
            self.flush();
            if ending {
                return;
            }
        }
    }
}

/// The thread. Dropping this writes what waits, and ends it.
#[derive(Debug)]
pub(super) struct Flusher {
    sink: Sink,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.sink.lock().ending = true;
        self.sink.0.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to write.
            let _ = thread.join();
        }
    }
}
