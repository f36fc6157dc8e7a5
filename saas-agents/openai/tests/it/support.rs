//! What the tests share: a model over a server, a clock that is asked, answers in words.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use saas_agents::{ChatModel, Item, ModelError, ModelEvent, ModelName, ModelRequest, ModelStream};
use saas_agents_openai::{OpenAi, OpenAiConfig, Timeouts};
use saas_core::{Clock, Secret, clock::ManualClock};

pub(crate) const KEY: &str = "sk-the-key-of-the-test";
/// So long that it must be a time-out and no pause.
pub(crate) const FIRST_BYTE: Duration = Duration::from_hours(1);
pub(crate) const IDLE: Duration = Duration::from_hours(2);

/// A clock on which pauses pass at once and are written down; time-outs never strike.
#[derive(Debug, Default)]
pub(crate) struct RecordingClock {
    wall: ManualClock,
    pauses: Mutex<Vec<Duration>>,
}

impl RecordingClock {
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.pauses.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for RecordingClock {
    fn now(&self) -> DateTime<Utc> {
        self.wall.now()
    }

    fn monotonic(&self) -> Duration {
        self.wall.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        if duration >= FIRST_BYTE {
            std::future::pending::<()>().await;
        }
        self.pauses.lock().unwrap().push(duration);
    }
}

/// A model with this test's own TLS configuration: nothing of the process is touched.
pub(crate) fn model(base_url: &str, clock: Arc<dyn Clock>) -> OpenAi {
    let timeouts = Timeouts { connect: Duration::from_mins(1), first_byte: FIRST_BYTE, idle: IDLE };
    let config = OpenAiConfig::new(Secret::new(KEY.to_owned()))
        .and_then(|config| config.with_base_url(base_url))
        .and_then(|config| config.with_organization("org-1"))
        .and_then(|config| config.with_project("proj-1"))
        .unwrap()
        .with_timeouts(timeouts);
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let http = config.client_builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
    OpenAi::new(http, config, clock)
}

pub(crate) fn request(text: &str) -> ModelRequest {
    asking(vec![Item::user(text)])
}

pub(crate) fn asking(input: Vec<Item>) -> ModelRequest {
    ModelRequest::new(ModelName::new("gpt-5.1"), "You are brief.", input)
}

/// Asks a server that answers so, and tells everything that came of it and the pauses that were made.
pub(crate) async fn asked(url: &str) -> (Vec<String>, Vec<Duration>) {
    asked_for(url, vec![Item::user("Hello?")]).await
}

pub(crate) async fn asked_for(url: &str, input: Vec<Item>) -> (Vec<String>, Vec<Duration>) {
    let clock = Arc::new(RecordingClock::default());
    let told = told(model(url, Arc::<RecordingClock>::clone(&clock)).stream(asking(input)).await).await;
    (told, clock.pauses())
}

/// A whole answer in words: one line for each event, the last one for the error if there is one.
pub(crate) async fn told(stream: Result<ModelStream, ModelError>) -> Vec<String> {
    match stream {
        Ok(stream) => stream.map(|event| line(&event)).collect().await,
        Err(error) => vec![format!("refused: {}", shown(&error))],
    }
}

pub(crate) fn line(event: &Result<ModelEvent, ModelError>) -> String {
    match event {
        Ok(ModelEvent::Text(text)) => format!("text: {text}"),
        Ok(ModelEvent::Item(item)) => format!("item: {}", item.as_json()),
        Ok(ModelEvent::Done { finish, usage }) => {
            let (thought, cached) = (usage.reasoning, usage.cached_input);
            format!("{finish:?}: {} ({cached} cached), {} ({thought} thought)", usage.input, usage.output)
        }
        Ok(_) => "another event".to_owned(),
        Err(error) => format!("broken: {}", shown(error)),
    }
}

/// The variant and what stands in it; of causes only whether there is one.
pub(crate) fn shown(error: &ModelError) -> String {
    match error {
        ModelError::Unavailable(_) => "Unavailable".to_owned(),
        ModelError::Malformed(_) => "Malformed".to_owned(),
        other => format!("{other:?}"),
    }
}
