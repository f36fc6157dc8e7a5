//! Work that may take long: that it goes on, and for how long.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::output;

/// How often somebody who watches is told, and how often a log is.
const WATCHED: Duration = Duration::from_secs(1);
const LOGGED: Duration = Duration::from_secs(10);

/// Does the work, says on stderr that it goes on, and tells how long it took.
pub(crate) async fn watched<T>(doing: &str, work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let watched = output::is_watched();
    let mut ticks = interval(if watched { WATCHED } else { LOGGED });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is now.
    ticks.tick().await;
    tokio::pin!(work);
    let mut told = false;
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = ticks.tick() => {
                told = true;
                let line = format!("{doing} ({} s)", began.elapsed().as_secs());
                output::raw(&if watched { format!("\r{line}") } else { format!("{line}\n") });
            }
        }
    };
    if watched && told {
        // Over what was painted.
        output::raw("\r\u{1b}[K");
    }
    (done, began.elapsed())
}

/// `0.3 s`
pub(crate) fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}
