//! A connection's bytes: who does not take them in time is cut off.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::{
    activity::Activity,
    notices::{Notice, Notices},
};

/// How long, and for how many bytes, a client is listened to whose request was answered before it had arrived. Without it the kernel
/// would reset the connection, and the client might never read why.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// A TCP connection whose writes have a deadline.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    notices: Arc<Notices>,
    write_timeout: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    begun: bool,
    lingering: Option<Lingering>,
}

#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        activity: Arc<Activity>,
        notices: Arc<Notices>,
        write_timeout: Duration,
    ) -> Self {
        // Answers are small: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        // A client that is gone takes nothing and says nothing: the kernel gives up on what it sends it.
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_user_timeout(
            &stream,
            u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX),
        );
        Self { stream, activity, notices, write_timeout, stalled: None, begun: false, lingering: None }
    }

    /// What a write came to, or its end when the client has taken nothing for too long.
    fn wrote(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            if self.stalled.take().is_some() {
                self.activity.took();
            }
            return result;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(stalled.as_mut().poll(cx));
        self.notices.say(Notice::NotRead);
        // What the kernel holds for it is not worth keeping either.
        let _ = self.stream.set_zero_linger();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let heard = &buffer.filled()[before..];
        if !self.begun && heard.starts_with(b"PRI") {
            self.activity.speaks_http2();
        } else if !heard.is_empty() {
            self.activity.heard();
        }
        self.begun = true;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.activity.has_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this
            .lingering
            .get_or_insert_with(|| Lingering { until: Box::pin(sleep(LINGER)), bytes: LINGER_BYTES });
        let mut scrap = [0; 4096];
        while lingering.bytes > 0 {
            let mut scrap = ReadBuf::new(&mut scrap);
            let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, &mut scrap) else {
                return lingering.until.as_mut().poll(cx).map(Ok);
            };
            let length = scrap.filled().len();
            if read.is_err() || length == 0 {
                break;
            }
            lingering.bytes = lingering.bytes.saturating_sub(length);
        }
        Poll::Ready(Ok(()))
    }
}
