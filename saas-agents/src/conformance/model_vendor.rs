//! The contract of [`ChatModel`], as far as it shows to the vendor alone: for models that ask one.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    future::{Either, select},
    pin_mut,
};
use saas_core::{Clock, clock::within};

use super::{
    LIMIT, TICK,
    chat_model::{answer, ends, items, texts},
};
use crate::{ChatModel, Item, ModelEvent, ModelRequest};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`ChatModel`](crate::ChatModel) that asks a vendor: takes the path of an `async fn() -> ModelVendorSubject`, makes a test
    /// of each line of its contract that shows to the vendor alone.
    model_vendor_conformance, saas_agents, model_vendor, ModelVendorSubject,
    [
        an_answer_that_breaks_off_ends_with_one_error,
        nothing_is_asked_again_once_something_was_given,
        items_are_given_and_sent_back_byte_for_byte,
        dropping_the_stream_ends_the_request,
        dropping_the_question_ends_the_request,
    ]
}

/// How a vendor answers. It is exhaustive: a vendor that does not know one cannot be asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Whole: some text, its message, and this item of a kind that nobody knows, byte for byte.
    WithItem(&'static str),
    /// With some text, and then the connection breaks.
    BreaksOff,
    /// With some text, and then with nothing more.
    Stalls,
    /// Not at all: it takes the request and says nothing.
    Silent,
}

/// The vendor that a model asks: a server of the test's own, which speaks the vendor's wire format.
#[async_trait]
pub trait Vendor: std::fmt::Debug + Send + Sync + 'static {
    /// Answers so from now on.
    async fn answer(&self, manner: Manner);
    /// The bodies of the requests so far.
    async fn requests(&self) -> Vec<String>;
    /// Waits until a client has gone before its answer ended.
    async fn client_left(&self);
}

/// A model and its vendor, which nobody has asked anything yet.
#[derive(Debug)]
pub struct ModelVendorSubject {
    model: Arc<dyn ChatModel>,
    vendor: Arc<dyn Vendor>,
    request: ModelRequest,
    clock: Arc<dyn Clock>,
}

impl ModelVendorSubject {
    /// A model, its vendor, any request, and a clock that really passes: nothing is waited for in vain.
    pub fn new(
        model: Arc<dyn ChatModel>,
        vendor: Arc<dyn Vendor>,
        request: ModelRequest,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { model, vendor, request, clock }
    }

    async fn assert_client_leaves(&self) {
        let left = within(&*self.clock, LIMIT, self.vendor.client_left()).await;
        left.expect("the request ends");
        assert_eq!(self.vendor.requests().await.len(), 1, "nobody asks again");
    }
}

async fn an_answer_that_breaks_off_ends_with_one_error(subject: ModelVendorSubject) {
    subject.vendor.answer(Manner::BreaksOff).await;
    let answer = answer(&*subject.model, &subject.request, &*subject.clock).await;
    assert!(!texts(&answer).is_empty(), "what was said is given: {answer:?}");
    assert!(matches!(answer.last(), Some(Err(_))), "the last is an error: {answer:?}");
    assert_eq!(ends(&answer), 1, "it is the only end: {answer:?}");
}

async fn nothing_is_asked_again_once_something_was_given(subject: ModelVendorSubject) {
    subject.vendor.answer(Manner::BreaksOff).await;
    let answer = answer(&*subject.model, &subject.request, &*subject.clock).await;
    assert!(!texts(&answer).is_empty(), "what was said is given: {answer:?}");
    assert_eq!(subject.vendor.requests().await.len(), 1);
}

async fn items_are_given_and_sent_back_byte_for_byte(subject: ModelVendorSubject) {
    // As no parser would write it.
    const ODD: &str = r#"{ "z":1.50,"type":"of_tomorrow" , "a":{"z":1e2,"a":"\u00fc"} }"#;
    subject.vendor.answer(Manner::WithItem(ODD)).await;
    let given = answer(&*subject.model, &subject.request, &*subject.clock).await;
    let mut request = subject.request.clone();
    request.input.extend(items(&given));
    assert!(request.input.iter().any(|item| item.as_json() == ODD), "the item is given as it came");
    request.input.push(Item::user("And then?"));
    answer(&*subject.model, &request, &*subject.clock).await;
    let requests = subject.vendor.requests().await;
    let mut rest = requests[1].as_str();
    for item in &request.input {
        let place = rest.find(item.as_json()).expect("every item is sent as it is, in its order");
        rest = &rest[place + item.as_json().len()..];
    }
}

async fn dropping_the_stream_ends_the_request(subject: ModelVendorSubject) {
    subject.vendor.answer(Manner::Stalls).await;
    let begun = async {
        let mut stream = subject.model.stream(subject.request.clone()).await.expect("the model answers");
        let first = stream.next().await;
        assert!(matches!(first, Some(Ok(ModelEvent::Text(_)))), "what was said is given: {first:?}");
        stream
    };
    let stream = within(&*subject.clock, LIMIT, begun).await.expect("what was said is given");
    drop(stream);
    subject.assert_client_leaves().await;
}

async fn dropping_the_question_ends_the_request(subject: ModelVendorSubject) {
    subject.vendor.answer(Manner::Silent).await;
    let asked = async {
        let asked = async {
            while subject.vendor.requests().await.is_empty() {
                subject.clock.sleep(TICK).await;
            }
        };
        within(&*subject.clock, LIMIT, asked).await.expect("the vendor is asked");
    };
    {
        let question = subject.model.stream(subject.request.clone());
        pin_mut!(asked);
        let first = select(question, asked).await;
        assert!(matches!(first, Either::Right(_)), "there is no answer before the vendor's");
    }
    subject.assert_client_leaves().await;
}
