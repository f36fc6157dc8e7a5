//! Lengths of time, in the unit that the setting's name says.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::SettingValue;

/// A length of time that is set in seconds; fractions to the millisecond are accepted, as in `2.5`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Seconds(Duration);

impl Seconds {
    /// That many whole seconds.
    pub const fn new(seconds: u32) -> Self {
        Self(Duration::from_secs(seconds as u64))
    }

    /// The length of time.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl SettingValue for Seconds {
    const KIND: &'static str = "seconds";

    fn parse(text: &str) -> Result<Self, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && (1..=3).contains(&fraction.len());
        let millis = fraction.parse::<u32>().ok().filter(|_| digits).map(|number| match fraction.len() {
            1 => number * 100,
            2 => number * 10,
            _ => number,
        });
        match (whole.parse::<u32>(), millis) {
            (Ok(whole), Some(millis)) => Ok(Self(Duration::new(whole.into(), millis * 1_000_000))),
            _ => Err("is not a number of seconds".to_owned()),
        }
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.as_secs_f64().to_string())
    }

    fn lies_within(&self, range: &RangeInclusive<u64>) -> bool {
        (Duration::from_secs(*range.start())..=Duration::from_secs(*range.end())).contains(&self.0)
    }
}

/// A length of time that is set in minutes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Minutes(u32);

impl Minutes {
    /// That many minutes.
    pub const fn new(minutes: u32) -> Self {
        Self(minutes)
    }

    /// The length of time.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64 * 60)
    }
}

impl SettingValue for Minutes {
    const KIND: &'static str = "minutes";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "is not a whole number of minutes".to_owned())
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn lies_within(&self, range: &RangeInclusive<u64>) -> bool {
        range.contains(&self.0.into())
    }
}

/// A length of time that is set in days.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Days(u32);

impl Days {
    /// The length of time.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64 * 24 * 60 * 60)
    }
}

impl SettingValue for Days {
    const KIND: &'static str = "days";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "is not a whole number of days".to_owned())
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn lies_within(&self, range: &RangeInclusive<u64>) -> bool {
        range.contains(&self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Minutes, Seconds, SettingValue};

    #[test]
    fn seconds_may_have_a_fraction_and_minutes_may_not() {
        for (text, millis) in [("5", 5_000), ("30.0", 30_000), ("2.25", 2_250), ("0.005", 5)] {
            assert_eq!(
                Seconds::parse(text).map(Seconds::duration),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["", ".", "5.", ".5", "1.2345", "-1", "1.+5", "5s", "1e3"] {
            assert!(Seconds::parse(text).is_err(), "{text}");
        }
        assert_eq!(Seconds::new(30).shown().as_deref(), Some("30"));
        assert_eq!(Minutes::parse("15").map(Minutes::duration), Ok(Duration::from_mins(15)));
        assert!(Minutes::parse("1.5").is_err());
    }

    #[test]
    fn a_fraction_above_the_largest_is_outside() {
        assert!(Seconds::parse_within("60", Some(&(0..=60))).is_ok());
        assert!(Seconds::parse_within("60.5", Some(&(0..=60))).is_err());
    }
}
