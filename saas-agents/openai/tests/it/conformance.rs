//! The adapter held against the contract of `ChatModel`: by its answers against aimock, by what the vendor sees against a server under
//! control. And for every line of the latter an adapter that breaks it, to see that its check notices.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, StreamExt, stream};
use saas_agents::{
    ChatModel, Item, ModelError, ModelRequest, ModelStream,
    conformance::{
        chat_model::ChatModelSubject,
        model_vendor::{LINES, Manner, ModelVendorSubject, Vendor, check},
    },
};
use saas_agents_openai::OpenAi;
use saas_core::Clock;
use tokio::sync::mpsc;

use crate::{
    aimock,
    server::{Reply, Server},
    support::{RecordingClock, model, request},
};

const TEXT: &str = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Once\"}\n\n";
const MESSAGE: &str = "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"message\",\"id\":\"m\", \"content\":\"Once\"}}\n\n";
const END: &str = "data: {\"type\":\"response.completed\"}\n\n";

mod answers {
    use super::{Arc, ChatModelSubject, Passing, RecordingClock, aimock, model, request};

    async fn subject() -> ChatModelSubject {
        let model = model(&aimock::url(), Arc::new(RecordingClock::default()));
        ChatModelSubject::new(Arc::new(model), request("Say something."), Arc::new(Passing::by(1)))
    }

    saas_agents::chat_model_conformance!(subject);
}

mod requests {
    use super::{Arc, ModelVendorSubject, Passing};

    async fn subject() -> ModelVendorSubject {
        super::subject(Arc::new, Passing::by(1)).await
    }

    saas_agents::model_vendor_conformance!(subject);
}

async fn subject<M: ChatModel>(wrapped: impl FnOnce(OpenAi) -> Arc<M>, clock: Passing) -> ModelVendorSubject {
    let server = Server::start([Reply::silent()]).await;
    let model = wrapped(model(&server.url, Arc::new(RecordingClock::default())));
    ModelVendorSubject::new(model, Arc::new(server), request("Hello?"), Arc::new(clock))
}

#[async_trait]
impl Vendor for Server {
    async fn answer(&self, manner: Manner) {
        self.answer(match manner {
            Manner::WithItem(json) => {
                let item = format!("data: {{\"type\":\"response.output_item.done\",\"item\":{json}}}\n\n");
                Reply::stream([TEXT, MESSAGE, &item, END])
            }
            Manner::BreaksOff => Reply::stream([TEXT]).broken(),
            Manner::Stalls => Reply::stream([TEXT]).held(),
            Manner::Silent => Reply::silent(),
        });
    }

    async fn requests(&self) -> Vec<String> {
        (0..self.requests()).map(|n| self.request(n).1).collect()
    }

    async fn client_left(&self) {
        self.client_left().await;
    }
}

/// Time that passes, so many times as fast.
#[derive(Debug)]
struct Passing(Instant, u32);

impl Passing {
    fn by(factor: u32) -> Self {
        Self(Instant::now(), factor)
    }
}

#[async_trait]
impl Clock for Passing {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed() * self.1
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration / self.1).await;
    }
}

/// The adapter, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str, OpenAi);

impl Broken {
    fn breaks(&self, line: &str) -> bool {
        self.0.starts_with(line)
    }
}

#[async_trait]
impl ChatModel for Broken {
    async fn stream(&self, mut request: ModelRequest) -> Result<ModelStream, ModelError> {
        let model = self.1.clone();
        if self.breaks("dropping_the_question") {
            return tokio::spawn(async move { model.stream(request).await }).await.unwrap();
        }
        if self.breaks("items") {
            request.input = request.input.iter().map(rewritten).collect();
        }
        let mut answer = model.stream(request.clone()).await?;
        if self.breaks("an_answer_that_breaks_off") {
            return Ok(answer.filter(|event| std::future::ready(event.is_ok())).boxed());
        }
        if self.breaks("nothing_is_asked_again") {
            let again = stream::once(async move { model.stream(request).await.unwrap() }).flatten();
            return Ok(answer.filter(|event| std::future::ready(event.is_ok())).chain(again).boxed());
        }
        if self.breaks("dropping_the_stream") {
            let (said, hears) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Some(event) = answer.next().await {
                    let _ = said.send(event);
                }
            });
            let hear = |mut hears: mpsc::UnboundedReceiver<_>| async {
                hears.recv().await.map(|event| (event, hears))
            };
            return Ok(stream::unfold(hears, hear).boxed());
        }
        Ok(answer)
    }
}

/// The same JSON in other bytes.
fn rewritten(item: &Item) -> Item {
    let value: serde_json::Value = serde_json::from_str(item.as_json()).unwrap();
    Item::from_json(value.to_string()).unwrap()
}

#[tokio::test]
async fn a_model_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let subject = subject(|model| Arc::new(Broken(line, model)), Passing::by(10)).await;
        let done = AssertUnwindSafe(check(line, subject)).catch_unwind().await;
        assert!(done.is_err(), "the check {line} passes although its line of the contract is broken");
    }
}
