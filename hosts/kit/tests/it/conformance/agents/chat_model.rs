//! `ChatModel`: the scripted one, which asks no vendor. The one over OpenAI's API runs its suites where its vendor's stand-ins are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use saas_agents::{
    ChatModel, Item, ModelError, ModelEvent, ModelName, ModelRequest, ModelStream, ScriptedModel,
    conformance::chat_model::{ChatModelSubject as Subject, LINES, check},
};
use saas_kit::SystemClock;

use crate::conformance::broken::assert_noticed;

fn scripted() -> ScriptedModel {
    // With pauses, so that answers at once are beside each other.
    ScriptedModel::new(Arc::new(SystemClock::default())).with_pace(Duration::from_millis(1))
}

fn over(model: impl ChatModel) -> Subject {
    let request = ModelRequest::new(ModelName::new("any"), "You are brief.", vec![Item::user("Hello?")]);
    Subject::new(Arc::new(model), request, Arc::new(SystemClock::default()))
}

async fn subject() -> Subject {
    over(scripted())
}

saas_agents::chat_model_conformance!(subject);

/// The scripted model, but for one line of the contract.
#[derive(Debug)]
struct Broken {
    line: &'static str,
    asked: AtomicUsize,
}

#[async_trait]
impl ChatModel for Broken {
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let answer = scripted().stream(request).await?;
        // Whoever asks second gets an answer without its beginning.
        let missing = usize::from(self.asked.fetch_add(1, Ordering::SeqCst) == 1);
        Ok(match self.line {
            line if line.starts_with("an_answer") => {
                answer.chain(stream::iter([Ok(ModelEvent::Text("P.S.".to_owned()))])).boxed()
            }
            line if line.starts_with("the_texts") => {
                let other =
                    |item| if let ModelEvent::Item(_) = item { said("Something else.") } else { item };
                answer.map(move |event| event.map(other)).boxed()
            }
            line if line.starts_with("answers_at_once") => answer.skip(missing).boxed(),
            _ => answer,
        })
    }
}

fn said(text: &str) -> ModelEvent {
    ModelEvent::Item(Item::assistant(text))
}

#[tokio::test]
async fn a_model_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let subject = over(Broken { line, asked: AtomicUsize::default() });
        assert_noticed(line, check(line, subject)).await;
    }
}
