//! What a connection is doing, and how long it may.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::{limits::Limits, notices::Notice};

/// How long a connection that was asked to close may take when nothing is in work on it.
const LEAVING: Duration = Duration::from_secs(2);

/// What a connection is doing, and since when. That is `None` until it is judged next, in the same moment: of a request that comes and is
/// answered at once, nobody has to know when each of its phases began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase<Since = Option<Instant>> {
    /// A request is expected since the connection began, or has begun and is not understood yet.
    Reading(Since),
    /// Nothing since its last request.
    Idle(Since),
    /// So many requests.
    Working(usize),
}

/// What the server asks of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wish {
    /// Nothing.
    Stay = 0,
    /// To close if nothing is in work, for somebody else needs the place.
    MakeRoom = 1,
    /// To finish what is in work, and close.
    Finish = 2,
    /// To end at once.
    End = 3,
}

/// What is to be done with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again then, or when something happens.
    Wait(Option<Instant>),
    /// Ask it to close in order.
    Close,
    /// It ends here.
    End(Option<Notice>),
}

/// What a connection's parts tell each other.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Mutex<Phase>,
    wish: AtomicU8,
    http2: AtomicBool,
    /// A request was answered before all of it was read.
    unread: AtomicBool,
    /// The connection's task.
    waker: AtomicWaker,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: Mutex::new(Phase::Reading(None)),
            wish: AtomicU8::new(Wish::Stay as u8),
            http2: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn phase(&self) -> Phase {
        *self.lock()
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Asks for more than was asked for already.
    pub(super) fn ask(&self, wish: Wish) {
        if self.wish.fetch_max(wish as u8, Ordering::AcqRel) < wish as u8 {
            self.waker.wake();
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.wish.load(Ordering::Acquire) != Wish::Stay as u8
    }

    /// Bytes came.
    pub(super) fn heard(&self) {
        // On HTTP/2 they may be anything; there, only requests count.
        if self.http2.load(Ordering::Relaxed) {
            return;
        }
        let mut phase = self.lock();
        if let Phase::Idle(_) = *phase {
            *phase = Phase::Reading(None);
        }
    }

    /// Bytes were taken after they had to wait.
    pub(super) fn took(&self) {
        if let Phase::Idle(since) = &mut *self.lock() {
            *since = None;
        }
    }

    /// The client speaks HTTP/2.
    pub(super) fn speaks_http2(&self) {
        if self.http2.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut phase = self.lock();
        if let Phase::Reading(_) = *phase {
            *phase = Phase::Idle(None);
        }
    }

    /// A request's body was given up.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// A request is in work until the guard goes.
    pub(super) fn begin(self: &Arc<Self>) -> InWork {
        let mut phase = self.lock();
        let others = if let Phase::Working(others) = *phase { others } else { 0 };
        *phase = Phase::Working(others + 1);
        drop(phase);
        self.unread.store(false, Ordering::Relaxed);
        InWork(Arc::clone(self))
    }

    fn end(&self) {
        let mut phase = self.lock();
        *phase = match *phase {
            Phase::Working(requests) if requests > 1 => Phase::Working(requests - 1),
            _ => Phase::Idle(None),
        };
        let idle = matches!(*phase, Phase::Idle(_));
        drop(phase);
        // On HTTP/1 this happens in the connection's own task, which looks afterwards in any case.
        if idle && self.http2.load(Ordering::Relaxed) {
            self.waker.wake();
        }
    }

    /// What it is doing, judged: since when is known from here on.
    fn judged(&self) -> Phase<Instant> {
        match &mut *self.lock() {
            Phase::Reading(since) => Phase::Reading(*since.get_or_insert_with(Instant::now)),
            Phase::Idle(since) => Phase::Idle(*since.get_or_insert_with(Instant::now)),
            Phase::Working(requests) => Phase::Working(*requests),
        }
    }

    /// Judges. `closing` is when the connection was asked to close; `over` is the present, once a deadline may be over.
    pub(super) fn verdict(
        &self,
        limits: &Limits,
        closing: Option<Instant>,
        over: Option<Instant>,
    ) -> Verdict {
        let wish = self.wish.load(Ordering::Acquire);
        if wish == Wish::End as u8 {
            return Verdict::End(None);
        }
        let asked = wish != Wish::Stay as u8 && closing.is_none();
        let is_over = |deadline: Instant| over.is_some_and(|now| deadline <= now);
        let until = match self.judged() {
            Phase::Working(_) if wish == Wish::Finish as u8 && asked => return Verdict::Close,
            Phase::Working(_) => {
                // It is of use again: the room is made elsewhere.
                let _ = self.wish.compare_exchange(
                    Wish::MakeRoom as u8,
                    Wish::Stay as u8,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                return Verdict::Wait(None);
            }
            Phase::Reading(_) if wish == Wish::MakeRoom as u8 => return Verdict::End(None),
            Phase::Reading(_) | Phase::Idle(_) if asked => return Verdict::Close,
            Phase::Reading(since) => {
                let until = since + limits.head_timeout;
                if is_over(until) {
                    return Verdict::End(Some(Notice::HeadTimedOut));
                }
                until
            }
            Phase::Idle(since) => {
                let until = closing.map_or(since + limits.keep_alive, |asked| asked.max(since) + LEAVING);
                if is_over(until) {
                    return if closing.is_some() { Verdict::End(None) } else { Verdict::Close };
                }
                until
            }
        };
        Verdict::Wait(Some(until))
    }
}

/// A request in work.
#[derive(Debug)]
pub(super) struct InWork(Arc<Activity>);

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.end();
    }
}
