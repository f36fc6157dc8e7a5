//! When to try again.

use std::time::Duration;

use chrono::DateTime;
use http::HeaderMap;
use saas_core::Clock;

use crate::failure::Failure;

/// A vendor that asks for more than this is not waited for: a person is.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What the vendor says about trying again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// `x-should-retry`.
    pub(crate) should_retry: Option<bool>,
    /// `retry-after-ms`, else `retry-after` in seconds or as a date (RFC 9110, section 10.2.3).
    pub(crate) retry_after: Option<Duration>,
}

impl Advice {
    pub(crate) fn read(headers: &HeaderMap, clock: &dyn Clock) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let should_retry = match text("x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let millis = text("retry-after-ms").and_then(|ms| seconds(ms, 0.001));
        let retry_after = millis.or_else(|| {
            text("retry-after").and_then(|after| seconds(after, 1.0).or_else(|| until(after, clock)))
        });
        Self { should_retry, retry_after }
    }
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse::<f64>().ok()? * unit).ok()
}

/// The time until an HTTP date; none if it has passed.
fn until(date: &str, clock: &dyn Clock) -> Option<Duration> {
    let date = DateTime::parse_from_rfc2822(date).ok()?;
    Some(date.signed_duration_since(clock.now()).to_std().unwrap_or_default())
}

/// How long to wait before the attempt that follows the `attempt`-th; `None` gives up.
pub(crate) fn pause(failure: &Failure, attempt: u32, attempts: u32, clock: &dyn Clock) -> Option<Duration> {
    let asked = failure.retry_after.unwrap_or_default();
    if !failure.transient || attempt >= attempts || asked > LONGEST_WAIT {
        return None;
    }
    let doubled = FIRST_PAUSE.saturating_mul(1 << (attempt - 1).min(16)).min(LONGEST_PAUSE);
    // Between a half and the whole of it. The clock's last digits differ between processes, and a test repeats them.
    let thousandths = clock.now().timestamp_subsec_micros() % 1000;
    Some(asked.max(doubled / 2 + doubled / 2 * thousandths / 1000))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use saas_core::clock::ManualClock;

    use super::*;

    fn advice(headers: &[(&'static str, &'static str)]) -> Advice {
        let headers =
            headers.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value)));
        Advice::read(&headers.collect(), &ManualClock::default())
    }

    #[test]
    fn seconds_milliseconds_and_dates_are_understood() {
        let after = |headers: &[_]| advice(headers).retry_after;
        assert_eq!(after(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(after(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(
            after(&[("retry-after", "9"), ("retry-after-ms", "1250")]),
            Some(Duration::from_millis(1250))
        );
        assert_eq!(after(&[("retry-after", "Thu, 01 Jan 2026 00:00:07 GMT")]), Some(Duration::from_secs(7)));
        assert_eq!(after(&[("retry-after", "Wed, 31 Dec 2025 23:59:59 GMT")]), Some(Duration::ZERO));
        for odd in ["soon", "-1", "inf", "nan", "1e300", ""] {
            assert_eq!(after(&[("retry-after", odd)]), None, "{odd}");
        }
        assert_eq!(advice(&[("x-should-retry", "false")]).should_retry, Some(false));
    }

    #[test]
    fn pauses_grow_and_end() {
        let clock = ManualClock::default();
        let pauses: Vec<_> =
            (1..=8).map(|attempt| pause(&Failure::truncated(), attempt, 8, &clock)).collect();
        let millis = |ms: &u64| Some(Duration::from_millis(*ms));
        let expected: Vec<_> = [250, 500, 1000, 2000, 4000, 4000, 4000].iter().map(millis).collect();
        assert_eq!(pauses[..7], expected);
        assert_eq!(pauses[7], None);
    }

    #[test]
    fn what_the_vendor_asks_is_waited_for_within_bounds() {
        let clock = ManualClock::default();
        let asked = |seconds| {
            let failure = Failure { retry_after: Some(Duration::from_secs(seconds)), ..Failure::truncated() };
            pause(&failure, 1, 3, &clock)
        };
        assert_eq!(asked(0), Some(Duration::from_millis(250)));
        assert_eq!(asked(30), Some(Duration::from_secs(30)));
        assert_eq!(asked(31), None);
    }
}
