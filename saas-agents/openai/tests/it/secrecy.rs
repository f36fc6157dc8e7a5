//! Keys, prompts, answers and queries are seen nowhere but on the wire.

use std::{
    error::Error,
    fmt::Write,
    io,
    sync::{Arc, Mutex},
};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt};

use futures_util::StreamExt;
use saas_agents::{ChatModel, ModelError};

use crate::{
    server::{Reply, Server},
    support::{KEY, RecordingClock, model, request},
};

const PROMPT: &str = "a-prompt-that-nobody-sees";
const ANSWER: &str = "an-answer-that-nobody-sees";
const QUERY: &str = "a-query-that-nobody-sees";

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error and all its causes, in both forms.
fn everything(error: &ModelError) -> String {
    let mut text = format!("{error:?}");
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        write!(text, " | {error} | {error:?}").unwrap();
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn no_log_no_error_and_no_debug_output_shows_them() {
    let log = Log::default();
    let writer = log.clone();
    // Everything of this crate; the HTTP client's own traces are the host's to silence.
    let filter: Targets = "off,saas_agents_openai=trace".parse().unwrap();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    let guard = tracing::subscriber::set_default(subscriber);

    let mut seen = String::new();
    let delta = format!("data: {{\"type\":\"response.output_text.delta\",\"delta\":[\"{ANSWER}\"]}}\n\n");
    let quoting = format!("{{\"error\":{{\"message\":\"{PROMPT} {KEY}\",\"code\":\"{PROMPT} {KEY}\"}}}}");
    for reply in [
        Reply::stream([format!("data: {ANSWER}\n\n")]),
        Reply::stream([delta]),
        Reply::json(200, &format!("{{\"output\":\"{ANSWER}\"}}")),
        Reply::json(400, &quoting),
        Reply::json(401, &quoting),
        Reply::json(500, &quoting),
        Reply::dropped(),
        Reply::stream([""; 0]).broken(),
    ] {
        let server = Server::start([reply]).await;
        let model = model(&format!("{}?key={QUERY}", server.url), Arc::new(RecordingClock::default()));
        let request = request(PROMPT);
        write!(seen, "{model:?} {request:?}").unwrap();
        let error = match model.stream(request).await {
            Ok(stream) => stream.filter_map(|event| async { event.err() }).boxed().next().await.unwrap(),
            Err(error) => error,
        };
        seen.push_str(&everything(&error));
        assert!(server.request(0).0.contains(QUERY) && server.request(0).1.contains(PROMPT));
    }
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the model's vendor answered") && log.contains("attempt=1"), "{log}");
    for secret in [KEY, PROMPT, ANSWER, QUERY] {
        assert!(!log.contains(secret) && !seen.contains(secret), "{secret} in {log} {seen}");
    }
}
