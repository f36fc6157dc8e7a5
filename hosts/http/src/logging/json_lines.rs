//! One JSON object a line: the event's fields, its target, and the span that it happened in.
//!
//! `tracing-subscriber` has a format of this shape, which writes a span's fields, reads them again for every event, and writes them once
//! more; here they are written once and copied. The shape is the same.

use std::{cell::RefCell, fmt, fmt::Write as _};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::sink::Sink;

/// The format and where its lines go.
#[derive(Debug)]
pub(super) struct JsonLines(pub(super) Sink);

/// A span's fields as members of an object: `"a":1,"b":"c"`.
struct Members(Vec<u8>);

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut members = Vec::with_capacity(192);
        attributes.record(&mut Fields(&mut members));
        span.extensions_mut().replace(Members(members));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // Written before the span is locked: what shows a value may log as well.
        let mut more = Vec::with_capacity(64);
        values.record(&mut Fields(&mut more));
        if let Some(Members(members)) = span.extensions_mut().get_mut::<Members>() {
            comma(members);
            members.extend_from_slice(&more);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        thread_local! {
            static LINE: RefCell<Line> = RefCell::new(Line::default());
        }
        // An event inside of an event's formatting gets a line of its own.
        let written = LINE.try_with(|line| match line.try_borrow_mut() {
            Ok(mut line) => self.write(&mut line, event, &context),
            Err(_) => self.write(&mut Line::default(), event, &context),
        });
        // A thread at its end has no line of its own any more.
        if written.is_err() {
            self.write(&mut Line::default(), event, &context);
        }
    }
}

impl JsonLines {
    fn write<S: Subscriber + for<'s> LookupSpan<'s>>(
        &self,
        Line { text: line, second }: &mut Line,
        event: &Event<'_>,
        context: &Context<'_, S>,
    ) {
        let metadata = event.metadata();
        line.clear();
        line.extend_from_slice(b"{\"timestamp\":\"");
        second.write(line, Utc::now());
        line.extend_from_slice(b"\",\"level\":\"");
        line.extend_from_slice(metadata.level().as_str().as_bytes());
        line.push(b'"');
        event.record(&mut Fields(line));
        line.extend_from_slice(b",\"target\":");
        json(line, metadata.target());
        if let Some(span) = context.event_span(event) {
            line.extend_from_slice(b",\"span\":{");
            if let Some(Members(members)) = span.extensions().get::<Members>() {
                line.extend_from_slice(members);
            }
            comma(line);
            line.extend_from_slice(b"\"name\":");
            json(line, span.name());
            line.push(b'}');
        }
        line.extend_from_slice(b"}\n");
        self.0.add(line, *metadata.level() <= Level::WARN);
    }
}

/// A thread's room for a line.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    second: Second,
}

/// The second that was written last: most lines are of the same one.
#[derive(Default)]
struct Second {
    timestamp: i64,
    text: String,
}

impl Second {
    /// Writes a time as RFC 3339 has it, with microseconds.
    fn write(&mut self, line: &mut Vec<u8>, now: DateTime<Utc>) {
        if self.text.is_empty() || self.timestamp != now.timestamp() {
            self.timestamp = now.timestamp();
            self.text = now.format("%Y-%m-%dT%H:%M:%S").to_string();
        }
        line.extend_from_slice(self.text.as_bytes());
        line.push(b'.');
        let mut micros = [b'0'; 6];
        let mut left = now.timestamp_subsec_micros();
        for place in micros.iter_mut().rev() {
            *place += u8::try_from(left % 10).unwrap_or_default();
            left /= 10;
        }
        line.extend_from_slice(&micros);
        line.push(b'Z');
    }
}

/// Writes fields as members of an object that has begun already.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        comma(self.0);
        json(self.0, field.name());
        self.0.push(b':');
    }

    fn member<T: Serialize + ?Sized>(&mut self, field: &Field, value: &T) {
        self.name(field);
        // Strings and numbers always serialize.
        let _ = serde_json::to_writer(&mut *self.0, value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        json(self.0, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.0.push(b'"');
        // Writing to memory cannot fail.
        let _ = write!(Escaped(self.0), "{value:?}");
        self.0.push(b'"');
    }
}

/// A comma, unless a list of members begins here.
fn comma(text: &mut Vec<u8>) {
    if !matches!(text.last(), None | Some(b'{')) {
        text.push(b',');
    }
}

/// Whether a text is the same as a part of a JSON string.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}

fn json(text: &mut Vec<u8>, value: &str) {
    if is_plain(value) {
        text.push(b'"');
        text.extend_from_slice(value.as_bytes());
        text.push(b'"');
    } else {
        // A string always serializes.
        let _ = serde_json::to_writer(text, value);
    }
}

/// What is written into it becomes part of a JSON string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_plain(text) {
            self.0.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let begin = self.0.len();
        json(self.0, text);
        // Without its quotation marks.
        self.0.pop();
        self.0.remove(begin);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What a program logs, as objects.
    fn logged(program: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let subscriber = tracing_subscriber::registry().with(JsonLines(sink.clone()));
        tracing::subscriber::with_default(subscriber, program);
        let lines = String::from_utf8(sink.taken()).expect("lines are text");
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}")))
            .collect()
    }

    #[test]
    fn a_time_has_microseconds_and_moves_on_and_back() {
        let (mut second, mut line) = (Second::default(), Vec::new());
        for (seconds, nanos, text) in [
            (1_767_225_600, 7_999, "2026-01-01T00:00:00.000007Z"),
            (1_767_225_600, 999_999_999, "2026-01-01T00:00:00.999999Z"),
            (1_767_225_601, 120_000_000, "2026-01-01T00:00:01.120000Z"),
            (1_767_225_599, 0, "2025-12-31T23:59:59.000000Z"),
        ] {
            line.clear();
            second.write(&mut line, DateTime::from_timestamp(seconds, nanos).expect("a time"));
            assert_eq!(String::from_utf8_lossy(&line), text);
        }
    }

    #[test]
    fn an_event_is_an_object_with_its_fields_its_target_and_its_span() {
        let nasty = "a \"quoted\"\n\u{1}\\ line ✈";
        let mut events = logged(|| {
            let span = tracing::info_span!("request", request.id = %"r-1", http.route = nasty, user.id = tracing::field::Empty);
            span.in_scope(
                || tracing::info!(number = -7, ratio = 0.5, ok = true, shown = ?nasty, "served {nasty}"),
            );
            span.record("user.id", tracing::field::display("u-1"));
            span.in_scope(|| tracing::info!("and again"));
            tracing::info!(target: "elsewhere", "outside");
        });
        for event in &mut events {
            let timestamp = event["timestamp"].take();
            assert!(
                timestamp.as_str().is_some_and(|text| text.ends_with('Z') && text.len() == 27),
                "{timestamp}"
            );
        }
        let target = module_path!();
        let span = |user: Option<&str>| match user {
            Some(user) => {
                json!({ "request.id": "r-1", "http.route": nasty, "user.id": user, "name": "request" })
            }
            None => json!({ "request.id": "r-1", "http.route": nasty, "name": "request" }),
        };
        let served = json!({ "timestamp": null, "level": "INFO", "message": format!("served {nasty}"), "number": -7, "ratio": 0.5,
            "ok": true, "shown": format!("{nasty:?}"), "target": target, "span": span(None) });
        let again = json!({ "timestamp": null, "level": "INFO", "message": "and again", "target": target, "span": span(Some("u-1")) });
        let outside =
            json!({ "timestamp": null, "level": "INFO", "message": "outside", "target": "elsewhere" });
        assert_eq!(events, [served, again, outside]);
    }
}
