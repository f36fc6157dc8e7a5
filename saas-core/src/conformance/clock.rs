//! The contract of [`Clock`].

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{self, BoxFuture, Either},
};

use crate::Clock;

saas_core::conformance_suite! {
    ($)
    /// Tests a [`Clock`](crate::Clock): takes the path of an `async fn() -> ClockSubject`, makes a test of each line of its contract.
    clock_conformance, saas_core, clock, ClockSubject,
    [
        monotonic_never_goes_back,
        what_passes_is_counted,
        a_sleep_ends_when_its_time_has_passed_and_no_earlier,
        a_sleep_of_no_time_ends_without_any_passing,
        sleeps_go_on_beside_each_other,
    ]
}

const STEP: Duration = Duration::from_millis(5);

/// How many steps pass before something counts as never happening.
const STEPS: usize = 400;

/// A clock, and how its time passes.
pub struct ClockSubject {
    clock: Arc<dyn Clock>,
    pass: Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl fmt::Debug for ClockSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockSubject").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl ClockSubject {
    /// A clock for one test. When the future of `pass` ends, that much of the clock's time has passed: a clock that is set by hand is
    /// advanced there; for one that goes by itself it waits, but not with the clock's own `sleep`, which is under test.
    pub fn new<F>(clock: Arc<dyn Clock>, pass: impl Fn(Duration) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { clock, pass: Box::new(move |duration| pass(duration).boxed()) }
    }

    /// The output of `future`, while time passes; `None` when it had none after many steps.
    async fn while_passing<T>(&self, step: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        for _ in 0..STEPS {
            match future::select(future.as_mut(), (self.pass)(step)).await {
                Either::Left((output, _)) => return Some(output),
                Either::Right(((), _)) => {}
            }
        }
        None
    }
}

async fn monotonic_never_goes_back(subject: ClockSubject) {
    let mut last = subject.clock.monotonic();
    for round in 0..1_000 {
        if round % 100 == 0 {
            (subject.pass)(STEP).await;
        }
        let now = subject.clock.monotonic();
        assert!(now >= last, "{now:?} came after {last:?}");
        last = now;
    }
}

async fn what_passes_is_counted(subject: ClockSubject) {
    let (monotonic, wall) = (subject.clock.monotonic(), subject.clock.now());
    for _ in 0..4 {
        (subject.pass)(STEP).await;
    }
    let counted = subject.clock.monotonic().saturating_sub(monotonic);
    assert!(counted >= STEP * 4, "{counted:?} were counted while {:?} passed", STEP * 4);
    assert!(subject.clock.now() > wall, "the wall clock stands still");
}

async fn a_sleep_ends_when_its_time_has_passed_and_no_earlier(subject: ClockSubject) {
    for steps in [1, 7, 20] {
        let slept = subject.while_passing(STEP, async {
            let began = subject.clock.monotonic();
            subject.clock.sleep(STEP * steps).await;
            subject.clock.monotonic().saturating_sub(began)
        });
        let slept = slept.await.expect("a sleep whose time has passed ends");
        assert!(slept >= STEP * steps, "{slept:?} is less than {:?}", STEP * steps);
    }
}

async fn a_sleep_of_no_time_ends_without_any_passing(subject: ClockSubject) {
    let slept = subject.while_passing(Duration::ZERO, subject.clock.sleep(Duration::ZERO)).await;
    slept.expect("it waits for time to pass");
}

async fn sleeps_go_on_beside_each_other(subject: ClockSubject) {
    let mut long = subject.clock.sleep(STEP * 100);
    assert!((&mut long).now_or_never().is_none(), "it sleeps from now on");
    let first = subject.while_passing(STEP, future::select(subject.clock.sleep(STEP), long)).await;
    assert!(matches!(first, Some(Either::Left(_))), "the shorter sleep waited for the longer one");
}
