//! Where data and words go: data to stdout, for people or for programs; words to stderr.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::{
    arguments::Format,
    failure::{Exit, Failure},
    text::plain,
};

/// The version of every JSON object that is written. A member that is taken away or changes its meaning makes a new one.
const SCHEMA: u32 = 1;

/// Stdout and stderr, in the format that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output(Format);

#[derive(Serialize)]
struct Versioned<'a, T> {
    schema: u32,
    #[serde(flatten)]
    data: &'a T,
}

impl Output {
    pub(crate) const fn new(format: Format) -> Self {
        Self(format)
    }

    pub(crate) fn is_json(self) -> bool {
        self.0 == Format::Json
    }

    /// Writes the data as JSON, or as `table` renders them.
    pub(crate) fn data<T: Serialize>(
        self,
        data: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.0 {
            Format::Table => text(&plain(&table(data))),
            Format::Json => {
                let json = serde_json::to_string_pretty(&Versioned { schema: SCHEMA, data });
                text(&(json.map_err(|error| Failure::io("no JSON could be made", &error.into()))? + "\n"))
            }
        }
    }

    /// Says what failed, in the format that was asked for.
    pub(crate) fn failure(self, failure: &Failure) {
        let Some((first, causes)) = failure.texts().split_first() else { return };
        if is_watched() && failure.exit() == Exit::Interrupted {
            // The line holds a prompt, and what Ctrl-C looks like.
            raw("\n");
        }
        if self.is_json() {
            let fields = failure.fields().iter();
            let fields: Vec<_> = fields
                .map(|field| json!({ "field": field.field, "code": field.code, "message": field.message }))
                .collect();
            let (code, hint) = (failure.code(), failure.hint());
            let error =
                json!({ "code": code, "message": first, "causes": causes, "fields": fields, "hint": hint });
            raw(&format!("{}\n", json!({ "schema": SCHEMA, "error": error })));
            return;
        }
        say(&format!("saas: {first}"));
        for cause in causes {
            say(&format!("  because: {cause}"));
        }
        for field in failure.fields() {
            say(&format!("  {}: {}", field.field, field.message));
        }
        if let Some(hint) = failure.hint() {
            say(&format!("  {hint}"));
        }
    }
}

/// Writes to stdout, at once.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes to stdout, at once, what is no text of ours.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::unread(),
        _ => Failure::io("stdout cannot be written", &error),
    })
}

/// Says something to people.
pub(crate) fn say(words: &str) {
    raw(&format!("{}\n", plain(words)));
}

/// Says something without ending the line.
pub(crate) fn raw(words: &str) {
    // Nobody need listen.
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(words.as_bytes()).and_then(|()| stderr.flush());
}

/// Whether people see stderr as it comes.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Writes the data as JSON on one line, for one of many.
pub(crate) fn line<T: Serialize>(data: &T) -> Result<(), Failure> {
    let json = serde_json::to_string(&Versioned { schema: SCHEMA, data });
    text(&(json.map_err(|error| Failure::io("no JSON could be made", &error.into()))? + "\n"))
}
