//! Where log lines are gathered for a moment: a system call for each would cost a small request as much as its answer does.
//!
//! One thread writes. Whoever logs never waits for a disk or for a reader: when more waits than there is room for, lines are lost, and
//! a line says how many.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use chrono::{SecondsFormat, Utc};

/// How long a line waits at most while the log can be written.
const PATIENCE: Duration = Duration::from_millis(50);

/// How many bytes make the thread write without waiting any longer.
const BATCH: usize = 64 * 1024;

/// How many bytes wait at most.
const ROOM: usize = 1024 * 1024;

/// How long the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long the thread waits until it tries a full pipe again.
const RETRY: Duration = Duration::from_millis(10);

/// Lines on their way. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    urgent: bool,
    ending: bool,
    ended: bool,
}

impl Sink {
    /// Adds a line; an urgent one is written at once, with what waits before it.
    pub(super) fn add(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.lock();
        if waiting.ended {
            drop(waiting);
            // The program is at its end, and nobody else writes any more.
            let _ = io::stderr().lock().write_all(line);
            return;
        }
        if waiting.lines.len() + line.len() > ROOM {
            waiting.lost += 1;
            return;
        }
        let idle = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        let was_urgent = waiting.urgent;
        waiting.urgent |= urgent || waiting.lines.len() > BATCH;
        // Once for each: waking is a system call, also where the thread is awake and has no core yet.
        let wake = idle || waiting.urgent && !was_urgent;
        drop(waiting);
        if wake {
            self.0.changed.notify_all();
        }
    }

    /// What waits, for a test.
    #[cfg(test)]
    pub(super) fn taken(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().lines)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread that writes to `out`.
    pub(super) fn start(&self, out: impl Write + Send + 'static) -> io::Result<Flusher> {
        let sink = self.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || sink.run(out))?;
        Ok(Flusher(self.clone()))
    }

    fn run(&self, mut out: impl Write) {
        let mut torn = false;
        // Two blocks of memory, one that is filled while the other one is written.
        let mut batch = Vec::new();
        loop {
            let (lost, ending) = self.gather(&mut batch);
            let ours = usize::from(torn) + usize::from(lost > 0);
            if torn {
                batch.insert(0, b'\n');
            }
            if lost > 0 {
                batch.extend_from_slice(lost_lines(lost).as_bytes());
            }
            torn = match write(&mut out, &batch) {
                Written::All => false,
                // What is lost is told when something can be written again; who ends does not wait for that.
                Written::Some => {
                    let lines = batch.split(|byte| *byte == b'\n').count() - 1 - ours;
                    self.lock().lost += lost + lines as u64;
                    true
                }
            };
            if ending {
                self.lock().ended = true;
                self.0.changed.notify_all();
                return;
            }
        }
    }

    /// Waits until there are lines, and a moment longer for more of them.
    fn gather(&self, batch: &mut Vec<u8>) -> (u64, bool) {
        batch.clear();
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.ending;
        let waiting = self.0.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let early = |waiting: &mut Waiting| !waiting.urgent && !waiting.ending;
        let gathered = self.0.changed.wait_timeout_while(waiting, PATIENCE, early);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        std::mem::swap(&mut waiting.lines, batch);
        (std::mem::take(&mut waiting.lost), waiting.ending)
    }
}

enum Written {
    All,
    Some,
}

/// Writes it all, however often a full pipe says that it would block; gives up on any other failure, as of a full disk.
fn write(out: &mut impl Write, mut text: &[u8]) -> Written {
    while !text.is_empty() {
        match out.write(text) {
            Ok(0) => return Written::Some,
            Ok(written) => text = &text[written..],
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => thread::sleep(RETRY),
                _ => return Written::Some,
            },
        }
    }
    Written::All
}

fn lost_lines(lost: u64) -> String {
    let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    format!(
        "{{\"timestamp\":\"{timestamp}\",\"level\":\"WARN\",\"message\":\"log lines were lost: the log cannot be written as fast as it grows\",\"lines\":{lost},\"target\":\"saas_http::logging\"}}\n"
    )
}

/// The thread. Dropping this writes what waits, and does not wait for ever.
#[derive(Debug)]
pub(super) struct Flusher(Sink);

impl Drop for Flusher {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.ending = true;
        self.0.0.changed.notify_all();
        let ended = self.0.0.changed.wait_timeout_while(waiting, LAST_LINES, |waiting| !waiting.ended);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes of each write, and now and then none.
    #[derive(Debug, Clone)]
    struct Slow {
        taken: Arc<Mutex<Vec<u8>>>,
        at_once: usize,
        writes: usize,
    }

    impl Slow {
        fn taking(at_once: usize) -> Self {
            Self { taken: Arc::default(), at_once, writes: 0 }
        }

        fn text(&self) -> String {
            String::from_utf8_lossy(&self.taken.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            if self.writes.is_multiple_of(50) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(self.at_once);
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing until it is let go.
    struct Stuck(std::sync::mpsc::Receiver<()>, Slow);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Ends the thread, and waits for it however long it takes.
    fn end(sink: &Sink, flusher: Flusher) {
        drop(flusher);
        let ended = sink.0.changed.wait_while(sink.lock(), |waiting| !waiting.ended);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    #[test]
    fn every_line_is_written_whole_in_its_order_however_little_is_taken_at_once() {
        let (sink, out) = (Sink::default(), Slow::taking(7));
        let flusher = sink.start(out.clone()).expect("a thread can be started");
        let lines: Vec<String> = (0..200).map(|number| format!("line {number}\n")).collect();
        for (number, line) in lines.iter().enumerate() {
            sink.add(line.as_bytes(), number % 50 == 0);
        }
        end(&sink, flusher);
        assert_eq!(out.text(), lines.concat());
    }

    #[test]
    fn a_log_that_nobody_reads_keeps_nobody_waiting_and_its_loss_is_told() {
        let (sink, out) = (Sink::default(), Slow::taking(BATCH));
        let (let_go, stuck) = std::sync::mpsc::channel();
        let flusher = sink.start(Stuck(stuck, out.clone())).expect("a thread can be started");
        let line = format!("{}\n", "x".repeat(1023));
        // More than there is room for: this returns, or the test does not end.
        for _ in 0..3 * ROOM / line.len() {
            sink.add(line.as_bytes(), true);
        }
        assert!(sink.lock().lines.len() <= ROOM);
        drop(let_go);
        end(&sink, flusher);
        let written = out.text();
        let told: u64 = written
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|line| line["lines"].as_u64())
            .sum();
        let whole = written.lines().filter(|line| line.len() == 1023).count() as u64;
        assert_eq!(told + whole, 3 * ROOM as u64 / 1024, "each line is there or counted");
        assert!(told > 0 && whole > 0);
    }
}
