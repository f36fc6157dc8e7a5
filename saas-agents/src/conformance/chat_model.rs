//! The contract of [`ChatModel`], as far as it shows to whoever asks; [`model_vendor`](super::model_vendor) has the rest.

use std::sync::Arc;

use futures_util::StreamExt;
use saas_core::{Clock, clock::within, conformance::at_once};

use super::LIMIT;
use crate::{ChatModel, Item, ModelError, ModelEvent, ModelRequest};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`ChatModel`](crate::ChatModel): takes the path of an `async fn() -> ChatModelSubject`, makes a test of each line of its
    /// contract that shows to whoever asks.
    chat_model_conformance, saas_agents, chat_model, ChatModelSubject,
    [
        an_answer_ends_with_one_done_and_gives_nothing_after_it,
        the_texts_put_together_are_the_text_of_the_message_items,
        answers_at_once_do_not_mix,
    ]
}

/// What a stream gives.
pub(super) type Event = Result<ModelEvent, ModelError>;

/// A model, and a request that it answers whole, with several bits of text.
#[derive(Debug)]
pub struct ChatModelSubject {
    model: Arc<dyn ChatModel>,
    request: ModelRequest,
    clock: Arc<dyn Clock>,
}

impl ChatModelSubject {
    /// A model, the request, and a clock that really passes: an answer that does not end is not waited for.
    pub fn new(model: Arc<dyn ChatModel>, request: ModelRequest, clock: Arc<dyn Clock>) -> Self {
        Self { model, request, clock }
    }

    async fn answer(&self) -> Vec<Event> {
        answer(&*self.model, &self.request, &*self.clock).await
    }
}

/// Asks, and gives the answer to its end.
pub(super) async fn answer(model: &dyn ChatModel, request: &ModelRequest, clock: &dyn Clock) -> Vec<Event> {
    let answer = async {
        let stream = model.stream(request.clone()).await.expect("the model answers");
        stream.collect().await
    };
    within(clock, LIMIT, answer).await.expect("the answer ends")
}

/// The bits of text of an answer.
pub(super) fn texts(answer: &[Event]) -> Vec<&str> {
    let mut texts = Vec::new();
    for event in answer {
        if let Ok(ModelEvent::Text(text)) = event {
            texts.push(text.as_str());
        }
    }
    texts
}

/// The items of an answer.
pub(super) fn items(answer: &[Event]) -> Vec<Item> {
    let mut items = Vec::new();
    for event in answer {
        if let Ok(ModelEvent::Item(item)) = event {
            items.push(item.clone());
        }
    }
    items
}

/// How often an answer ends.
pub(super) fn ends(answer: &[Event]) -> usize {
    answer.iter().filter(|event| matches!(event, Err(_) | Ok(ModelEvent::Done { .. }))).count()
}

async fn an_answer_ends_with_one_done_and_gives_nothing_after_it(subject: ChatModelSubject) {
    let answer = subject.answer().await;
    assert!(matches!(answer.last(), Some(Ok(ModelEvent::Done { .. }))), "the last is `Done`: {answer:?}");
    assert_eq!(ends(&answer), 1, "it is the only end: {answer:?}");
}

fn assert_agrees(answer: &[Event]) {
    let texts = texts(answer);
    assert!(texts.len() > 1, "the request is answered with several bits of text: {answer:?}");
    let messages: String = items(answer).iter().filter_map(Item::text).collect();
    assert_eq!(texts.concat(), messages);
}

async fn the_texts_put_together_are_the_text_of_the_message_items(subject: ChatModelSubject) {
    assert_agrees(&subject.answer().await);
}

async fn answers_at_once_do_not_mix(subject: ChatModelSubject) {
    for answer in at_once(4, |_| subject.answer()).await {
        assert_agrees(&answer);
    }
}
