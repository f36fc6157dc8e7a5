//! A parser of server-sent events, fed with bytes as they come.
//!
//! By "Server-sent events" of the WHATWG HTML Standard, section 9.2 (9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event
//! stream"). It does no I/O and knows nothing of any vendor. The one addition is a limit on the size of an event.
//!
//! ```
//! use saas_agents_openai::sse::Parser;
//!
//! let (mut parser, mut events) = (Parser::new(1024), Vec::new());
//! parser.feed(b"event: greeting\r\ndata: hel", &mut events)?;
//! assert!(events.is_empty());
//! parser.feed(b"lo\r\n\r\n", &mut events)?;
//! assert_eq!((events[0].name.as_str(), events[0].data.as_str()), ("greeting", "hello"));
//! # Ok::<(), saas_agents_openai::sse::TooLarge>(())
//! ```

use std::{mem, time::Duration};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What the `event` field said; `message` if there was none.
    pub name: String,
    /// The `data` lines, with line feeds between them.
    pub data: String,
    /// The last `id` that the stream named, by this event or before it; empty if there was none.
    pub id: String,
}

/// An event, or a line of it, is larger than the parser takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {limit} bytes")]
pub struct TooLarge {
    /// The most bytes that an event may have.
    pub limit: usize,
}

/// Turns bytes into [`Event`]s. How the bytes are cut into pieces makes no difference.
///
/// An event that the stream's end cuts off is not an event (9.2.6), so there is nothing to call at the end.
#[derive(Debug, Clone)]
pub struct Parser {
    limit: usize,
    failed: bool,
    /// No line has ended yet: a byte order mark may stand at the beginning.
    first_line: bool,
    /// A carriage return ended the line; a line feed after it belongs to it.
    after_return: bool,
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    id: String,
    retry: Option<Duration>,
}

impl Parser {
    /// One that takes events of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            failed: false,
            first_line: true,
            after_return: false,
            line: Vec::new(),
            name: String::new(),
            data: None,
            id: String::new(),
            retry: None,
        }
    }

    /// Reads a piece of the stream and appends the events that it completes. After [`TooLarge`] the parser takes nothing more; the
    /// events before the large one have been appended.
    pub fn feed(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLarge> {
        while !bytes.is_empty() && !self.failed {
            if mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.size().saturating_add(piece.len()) > self.limit {
                self.failed = true;
                break;
            }
            self.line.extend_from_slice(piece);
            let Some(end) = end else { break };
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line(events);
        }
        if self.failed { Err(TooLarge { limit: self.limit }) } else { Ok(()) }
    }

    /// How long the stream asked to wait before a new connection, by its last `retry` field.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn size(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, String::len)
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let bytes = mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let first = mem::take(&mut self.first_line);
        let line = if first { text.strip_prefix('\u{feff}').unwrap_or(&text) } else { &text };
        if line.is_empty() {
            self.dispatch(events);
        } else if let Some((field, value)) = line.split_once(':') {
            // A line that begins with a colon is a comment: a field without a name.
            self.field(field, value.strip_prefix(' ').unwrap_or(value));
        } else {
            self.field(line, "");
        }
        self.line = bytes;
        self.line.clear();
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let name = mem::take(&mut self.name);
        let Some(data) = self.data.take() else { return };
        let name = if name.is_empty() { "message".to_owned() } else { name };
        events.push(Event { name, data, id: self.id.clone() });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(pieces: &[&[u8]], limit: usize) -> (Vec<Event>, Option<Duration>, bool) {
        let (mut parser, mut events) = (Parser::new(limit), Vec::new());
        let failed = pieces.iter().any(|piece| parser.feed(piece, &mut events).is_err());
        (events, parser.retry(), failed)
    }

    fn events(bytes: &[u8]) -> Vec<(String, String, String)> {
        let (events, _, failed) = parsed(&[bytes], 1024);
        assert!(!failed);
        events.into_iter().map(|event| (event.name, event.data, event.id)).collect()
    }

    fn event(name: &str, data: &str, id: &str) -> (String, String, String) {
        (name.to_owned(), data.to_owned(), id.to_owned())
    }

    #[test]
    fn the_examples_of_the_standard_give_what_it_says() {
        let stock = events(b"data: YHOO\ndata: +2\ndata: 10\n\n");
        assert_eq!(stock, [event("message", "YHOO\n+2\n10", "")]);
        let four = events(
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        );
        assert_eq!(
            four,
            [
                event("message", "first event", "1"),
                event("message", "second event", ""),
                event("message", " third event", "")
            ]
        );
        let empty = events(b"data\n\ndata\ndata\n\ndata:");
        assert_eq!(empty, [event("message", "", ""), event("message", "\n", "")]);
        assert_eq!(events(b"data:test\n\ndata: test\n\n"), vec![event("message", "test", ""); 2]);
    }

    #[test]
    fn every_line_ending_and_a_byte_order_mark_are_understood() {
        let expected = [event("a", "1\n2", ""), event("b", "3", "")];
        for end in ["\n", "\r", "\r\n"] {
            let text =
                format!("\u{feff}event: a{end}data: 1{end}data: 2{end}{end}event: b{end}data: 3{end}{end}");
            assert_eq!(events(text.as_bytes()), expected, "{end:?}");
        }
        assert_eq!(events("data: 1\n\n\u{feff}data: 2\n\n".as_bytes()), [event("message", "1", "")]);
    }

    #[test]
    fn a_name_does_not_outlive_its_event_and_an_id_does() {
        let got = events(b"event: lost\n\nid: 7\ndata: 1\n\nid: with\0nul\ndata: 2\n\n");
        assert_eq!(got, [event("message", "1", "7"), event("message", "2", "7")]);
    }

    #[test]
    fn only_digits_set_the_retry_time() {
        assert_eq!(parsed(&[b"retry: 1500\nretry: 2s\nretry\n"], 64).1, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn broken_utf_8_is_replaced() {
        assert_eq!(events(b"data: a\xffb\xe2\x82\n\n"), [event("message", "a\u{fffd}b\u{fffd}", "")]);
    }

    #[test]
    fn an_event_beyond_the_limit_is_refused_and_those_before_it_are_kept() {
        let (got, _, failed) =
            parsed(&[b"data: 1\n\n", b"data: 123456\ndata: 123456\n\n", b"data: 2\n\n"], 16);
        assert!(failed);
        assert_eq!(got.len(), 1);
        assert!(parsed(&[&[b':'; 17]], 16).2);
        assert!(!parsed(&[b": a comment\n: another one\n: a third\n"], 16).2);
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_events(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "data: ", "data:", "data", "event: e", "id: 1", "retry: 5", ": note", "\r", "\n", "\r\n", "\n\n", "\u{feff}", "ü€🙂", "x", "\0",
                ]),
                0..60,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            limit in 8_usize..64,
            broken in any::<Option<prop::sample::Index>>(),
        ) {
            let mut bytes = words.concat().into_bytes();
            if let (Some(at), false) = (broken, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = 0xf0;
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|two| &bytes[two[0]..two[1]]).collect();
            let whole = parsed(&[&bytes], limit);
            prop_assert_eq!(&parsed(&pieces, limit), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&parsed(&single, limit), &whole);
        }
    }
}
