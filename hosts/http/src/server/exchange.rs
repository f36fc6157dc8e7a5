//! A request and its answer, and the connection's knowledge of both.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use axum::{Router, body::Body, routing::future::RouteFuture};
use http::{Request, Response, Version};
use hyper::{
    body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint},
    rt::Executor,
    service::Service,
};
use tokio::time::Instant;

use super::{
    activity::{Activity, InWork},
    notices::{Notice, Notices},
};
use crate::arrival::Arrival;

/// The application as one connection sees it.
#[derive(Debug)]
pub(super) struct Exchanges {
    pub(super) app: Router,
    pub(super) arrival: Arrival,
    pub(super) activity: Arc<Activity>,
    pub(super) streams: Streams,
}

impl Service<Request<Incoming>> for Exchanges {
    type Response = Response<Given>;
    type Error = Infallible;
    type Future = Exchange;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let progress = (request.version() == Version::HTTP_2).then(|| {
            self.activity.speaks_http2();
            self.streams.expect()
        });
        let in_work = self.activity.begin();
        let activity = Arc::clone(&self.activity);
        let mut request = request.map(|body| {
            if body.is_end_stream() { Body::empty() } else { Body::new(Taken { body, activity }) }
        });
        request.extensions_mut().insert(self.arrival.clone());
        let mut answer = tower::Service::call(&mut self.app.clone(), request);
        // Looked at here and not when hyper does: before that, hyper makes room for more of the connection's bytes, and while a request
        // is there it cannot take the room that the request's head is in. Who is not ready now is asked again, with a real waker.
        match Pin::new(&mut answer).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(answer)) => Exchange::Answered(Some(given(answer, progress, Some(in_work)))),
            Poll::Pending => Exchange::Underway(Underway { answer, progress, in_work: Some(in_work) }),
        }
    }
}

/// An exchange until the head of its answer is there.
pub(super) enum Exchange {
    Underway(Underway),
    Answered(Option<Response<Given>>),
}

pub(super) struct Underway {
    answer: RouteFuture<Infallible>,
    progress: Option<Arc<Progress>>,
    in_work: Option<InWork>,
}

fn given(
    answer: Response<Body>,
    progress: Option<Arc<Progress>>,
    in_work: Option<InWork>,
) -> Response<Given> {
    if let Some(progress) = &progress {
        progress.given();
    }
    answer.map(|body| Given { body, progress, _in_work: in_work })
}

impl Exchange {
    fn look(&mut self, cx: &mut Context<'_>) -> Poll<Response<Given>> {
        match self {
            Self::Underway(underway) => {
                let Ok(answer) = ready!(Pin::new(&mut underway.answer).poll(cx));
                Poll::Ready(given(answer, underway.progress.take(), underway.in_work.take()))
            }
            Self::Answered(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

impl Future for Exchange {
    type Output = Result<Response<Given>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.look(cx).map(Ok)
    }
}

/// A request's body; it notices when it is given up.
#[derive(Debug)]
struct Taken {
    body: Incoming,
    activity: Arc<Activity>,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.activity.leave_unread();
        }
    }
}

/// An answer's body; while it is there, its request is in work.
#[derive(Debug)]
pub(super) struct Given {
    body: Body,
    progress: Option<Arc<Progress>>,
    _in_work: Option<InWork>,
}

impl HttpBody for Given {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(progress) = &self.progress {
            progress.asked();
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(progress) = &self.progress {
            progress.given();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Since when a stream of HTTP/2 has had something to send and was not asked for more: its client gives it no window.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<Option<Instant>>);

impl Progress {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn asked(&self) {
        self.set(None);
    }

    fn given(&self) {
        self.set(Some(Instant::now()));
    }

    /// Waits until nothing was asked for so long.
    async fn stalled(&self, timeout: Duration) {
        let mut wait = timeout;
        while !wait.is_zero() {
            tokio::time::sleep(wait).await;
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            wait = since.map_or(timeout, |since| timeout.saturating_sub(since.elapsed()));
        }
    }
}

/// Runs a connection's streams of HTTP/2, and ends those whose client does not read them. (HTTP/1 has one, and its socket knows.)
#[derive(Debug, Clone)]
pub(super) struct Streams {
    /// Of the request that hyper asked for last: it makes a stream of it before it asks for the next one.
    next: Arc<Mutex<Option<Arc<Progress>>>>,
    timeout: Duration,
    notices: Arc<Notices>,
}

impl Streams {
    pub(super) fn new(timeout: Duration, notices: Arc<Notices>) -> Self {
        Self { next: Arc::default(), timeout, notices }
    }

    fn expect(&self) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&progress));
        progress
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let progress = mem::take(&mut *self.next.lock().unwrap_or_else(PoisonError::into_inner));
        let (timeout, notices) = (self.timeout, Arc::clone(&self.notices));
        tokio::spawn(async move {
            let Some(progress) = progress else {
                stream.await;
                return;
            };
            tokio::select! {
                biased;
                _ = stream => {}
                // Dropping the stream resets it; the connection and its other streams go on.
                () = progress.stalled(timeout) => notices.say(Notice::NotRead),
            }
        });
    }
}
