//! One connection, from its first byte to its last.

use std::{net::SocketAddr, pin::pin, sync::Arc, task::Poll, time::Duration};

use axum::Router;
use futures_util::future::poll_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::{
    activity::{Activity, Verdict},
    connections::Place,
    exchange::{Exchanges, Streams},
    limits::Limits,
    notices::{Notice, Notices},
    socket::Socket,
};
use crate::{arrival::Arrival, metrics, stopping::Stopping};

/// How much of an answer one stream of HTTP/2 may have waiting.
const SEND_BUFFER: usize = 64 * 1024;
/// How much of a request's body one stream of HTTP/2 may send ahead, and all streams of a connection together.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// How many streams a client may open and reset before they were looked at (CVE-2023-44487), and have reset for its mistakes.
const RESETS_UNSEEN: usize = 20;
const RESETS_FOR_ERRORS: usize = 1024;
/// How often a client of HTTP/2 is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
/// What hyper reserves room for without allocating.
const USUAL_HEADERS: usize = 100;

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) app: Router,
    pub(super) limits: Limits,
    pub(super) notices: Arc<Notices>,
    pub(super) stopping: Stopping,
}

/// Serves a connection until it ends.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, place: Place, common: Arc<Common>) {
    let _open = metrics::connection_opened();
    let (limits, notices, activity) = (&common.limits, &common.notices, &place.activity);
    let socket = Socket::new(stream, Arc::clone(activity), Arc::clone(notices), limits.write_timeout);
    let streams = Streams::new(limits.write_timeout, Arc::clone(notices));
    let exchanges = Exchanges {
        app: common.app.clone(),
        arrival: Arrival { peer: Some(peer), stopping: Some(common.stopping.clone()), ..Arrival::default() },
        activity: Arc::clone(activity),
        streams: streams.clone(),
    };
    let connection = builder(streams, limits).serve_connection(TokioIo::new(socket), exchanges).into_owned();
    match watched(connection, activity, limits).await {
        End::Itself(Ok(())) => {}
        End::Itself(Err(error)) => {
            if error.downcast_ref().is_some_and(hyper::Error::is_parse_too_large) {
                notices.say(Notice::HeadTooLarge);
            }
            tracing::debug!(error = %error, "a connection ended early");
        }
        End::Cut(notice) => {
            if let Some(notice) = notice {
                notices.say(notice);
            }
        }
    }
}

fn builder(streams: Streams, limits: &Limits) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        // Answers are small: copying a body behind its head costs less than sending both as parts.
        .writev(false)
        // hyper's deadline begins when the connection is idle; `Activity` tells a head that is late from one that nobody sends.
        .header_read_timeout(None)
        // What is kept of a connection's bytes, either way: a head has to fit in.
        .max_buf_size(limits.head_bytes);
    if limits.headers != USUAL_HEADERS {
        builder.http1().max_headers(limits.headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(RESETS_FOR_ERRORS);
    builder
}

/// How a connection came to its end.
enum End<E> {
    Itself(Result<(), E>),
    Cut(Option<Notice>),
}

/// Drives a connection and judges it whenever it has done something, and when its time is over.
async fn watched<C: GracefulConnection>(
    connection: C,
    activity: &Activity,
    limits: &Limits,
) -> End<C::Error> {
    let mut connection = pin!(connection);
    let mut closing = None;
    let mut armed = Instant::now() + limits.head_timeout;
    let mut timer = pin!(sleep_until(armed));
    poll_fn(|cx| {
        activity.register(cx.waker());
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(End::Itself(result));
            }
            // A deadline can only be over when the timer is.
            let now = timer.is_elapsed().then(Instant::now);
            match activity.verdict(limits, closing, now) {
                Verdict::End(notice) => return Poll::Ready(End::Cut(notice)),
                Verdict::Close => {
                    closing = Some(Instant::now());
                    connection.as_mut().graceful_shutdown();
                }
                Verdict::Wait(None) => return Poll::Pending,
                Verdict::Wait(Some(until)) => {
                    // A timer that comes early is set again then: a busy connection's deadline moves with every request.
                    if until < armed || timer.is_elapsed() {
                        armed = until;
                        timer.as_mut().reset(armed);
                    }
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    })
    .await
}
