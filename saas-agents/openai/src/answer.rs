//! One answer, read from the response's body.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use http::header::CONTENT_TYPE;
use saas_agents::{ModelError, ModelEvent};
use saas_core::{Clock, clock::within};

use crate::{decoder::Decoder, failure::Failure, sse};

/// An item with a picture in it is large; more than this is no answer.
const LARGEST_EVENT: usize = 16 * 1024 * 1024;
/// An explanation of an error needs no more.
const LARGEST_ERROR: usize = 64 * 1024;

/// Gives the events of a response with a good status, and waits for each piece of it no longer than it may take.
pub(crate) struct Answer {
    body: Body,
    parser: sse::Parser,
    decoder: Decoder,
    ready: VecDeque<Result<ModelEvent, Failure>>,
    over: bool,
}

impl Answer {
    /// Reads a response as a stream of events; one that is JSON is read whole.
    pub(crate) async fn open(mut body: Body) -> Result<Self, Failure> {
        let kind =
            body.response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let whole = match kind.as_str() {
            "application/json" => Some(body.rest(LARGEST_EVENT).await?),
            "text/html" => return Err(Failure::malformed("the answer is a web page")),
            _ => None,
        };
        let parser = sse::Parser::new(LARGEST_EVENT);
        let mut answer =
            Self { body, parser, decoder: Decoder::default(), ready: VecDeque::new(), over: false };
        if let Some(json) = whole {
            answer.take(|decoder, out| decoder.whole(&String::from_utf8_lossy(&json), out));
            answer.over = true;
        }
        Ok(answer)
    }

    /// The next event; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<Result<ModelEvent, Failure>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.body.chunk().await {
                Ok(Some(bytes)) => self.read(&bytes),
                Ok(None) => self.fail(Failure::truncated()),
                Err(failure) => self.fail(failure),
            }
        }
    }

    /// The events that are still to come.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send {
        stream::unfold(self, |mut answer| async move {
            let event = answer.next().await?;
            Some((event.map_err(|failure| failure.error), answer))
        })
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut events = Vec::new();
        let read = self.parser.feed(bytes, &mut events);
        for event in events {
            self.take(|decoder, out| decoder.event(&event, out));
            if self.over {
                return;
            }
        }
        if let Err(too_large) = read {
            self.fail(Failure::malformed(too_large));
        }
    }

    fn take(&mut self, decode: impl FnOnce(&mut Decoder, &mut Vec<ModelEvent>) -> Result<(), Failure>) {
        let mut out = Vec::new();
        let decoded = decode(&mut self.decoder, &mut out);
        self.ready.extend(out.into_iter().map(Ok));
        self.over = self.decoder.is_over();
        if let Err(failure) = decoded {
            self.fail(failure);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.over = true;
        self.ready.push_back(Err(failure));
    }
}

/// A response's body.
pub(crate) struct Body {
    pub(crate) response: reqwest::Response,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) idle: Duration,
}

impl Body {
    /// What came with an error status, as far as it came.
    pub(crate) async fn explanation(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LARGEST_ERROR {
                break;
            }
        }
        bytes
    }

    async fn rest(&mut self, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > limit {
                return Err(Failure::malformed(sse::TooLarge { limit }));
            }
        }
        Ok(bytes)
    }

    async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, Failure> {
        match within(&*self.clock, self.idle, self.response.chunk()).await {
            Some(Ok(chunk)) => Ok(chunk),
            // The head of the answer came, its end did not.
            Some(Err(_)) => Err(Failure::truncated()),
            None => Err(Failure::timed_out("the next piece of the answer", self.idle)),
        }
    }
}
