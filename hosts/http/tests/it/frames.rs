//! Server-sent events as a client reads them, and models whose pace a test sets.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use saas_agents::{
    ChatModel, Finish, Item, ModelError, ModelEvent, ModelRequest, ModelStream, ScriptedModel, Usage,
};
use saas_kit::{
    SystemClock,
    testing::{TestEngine, TestSaas},
};
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::harness::{Api, Call};

/// One event: its id, its data, and the bytes that it came as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: String,
    pub(crate) data: Value,
    pub(crate) raw: String,
}

impl Frame {
    pub(crate) fn parse(raw: &str) -> Self {
        let field = |name: &str| raw.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let data = field("data").unwrap_or_else(|| panic!("an event has data: {raw:?}"));
        Self {
            id: field("id").unwrap_or_else(|| panic!("an event has an id: {raw:?}")).to_owned(),
            data: serde_json::from_str(data).unwrap_or_else(|_| panic!("the data is JSON: {raw:?}")),
            raw: raw.to_owned(),
        }
    }

    pub(crate) fn chunk(&self) -> &str {
        self.data["chunk"].as_str().expect("a frame has a chunk")
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.data["is_complete"] == true
    }

    pub(crate) fn run(&self) -> &str {
        self.data["run_id"].as_str().expect("a frame names its run")
    }
}

/// A stream's events; its comments are left out.
pub(crate) fn frames(text: &str) -> Vec<Frame> {
    assert!(text.is_empty() || text.ends_with("\n\n"), "a stream ends with an event: {text:?}");
    text.split_inclusive("\n\n").filter(|block| !block.starts_with(':')).map(Frame::parse).collect()
}

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) headers: HeaderMap,
    body: Body,
    buffer: String,
}

impl Open {
    pub(crate) async fn at(api: &Api, call: Call) -> Self {
        let response = api
            .router
            .clone()
            .oneshot(axum::extract::Request::from(call))
            .await
            .expect("the router always answers");
        assert_eq!(response.status(), StatusCode::OK);
        let (parts, body) = response.into_parts();
        Self { headers: parts.headers, body, buffer: String::new() }
    }

    /// The next event or comment as it came; `None` when the stream has ended.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let rest = self.buffer.split_off(end + 2);
                return Some(std::mem::replace(&mut self.buffer, rest));
            }
            let Some(next) = self.body.frame().await else {
                assert_eq!(self.buffer, "", "a stream does not end within an event");
                return None;
            };
            let bytes = next.expect("the stream does not break").into_data().expect("there are no trailers");
            self.buffer += std::str::from_utf8(&bytes).expect("an event is sent whole");
        }
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        Frame::parse(&self.block().await.expect("the stream goes on"))
    }

    /// All that is left.
    pub(crate) async fn rest(mut self) -> String {
        let mut rest = String::new();
        while let Some(block) = self.block().await {
            rest += &block;
        }
        rest
    }
}

/// The product with the scripted model saying one word at a time, fast.
pub(crate) async fn word_by_word(engine: TestEngine) -> Api {
    let model = ScriptedModel::new(Arc::new(SystemClock::default())).with_pace(Duration::from_millis(1));
    Api::of(TestSaas::with_ports(engine, [], |builder| builder.chat_model(Arc::new(model))).await)
}

/// A model that says "one ", "two ", "three", each when the test gives it the word.
#[derive(Debug, Clone)]
pub(crate) struct Prompted(Arc<Semaphore>);

impl Prompted {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn go_on(&self, words: usize) {
        self.0.add_permits(words);
    }

    pub(crate) async fn start<const N: usize>(
        &self,
        engine: TestEngine,
        settings: [(&str, &str); N],
    ) -> TestSaas {
        TestSaas::with_ports(engine, settings, |builder| builder.chat_model(Arc::new(self.clone()))).await
    }
}

#[async_trait]
impl ChatModel for Prompted {
    async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let cues = Arc::clone(&self.0);
        let words = stream::iter(["one ", "two ", "three"]).then(move |word| {
            let cues = Arc::clone(&cues);
            async move {
                cues.acquire().await.expect("the semaphore stays open").forget();
                Ok(ModelEvent::Text(word.to_owned()))
            }
        });
        let done = ModelEvent::Done { finish: Finish::Complete, usage: Usage::default() };
        let end = [Ok(ModelEvent::Item(Item::assistant("one two three"))), Ok(done)];
        Ok(words.chain(stream::iter(end)).boxed())
    }
}
