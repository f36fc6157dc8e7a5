//! How a setting's text becomes a value.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use saas_core::Secret;

/// A type that a setting can have.
pub trait SettingValue: Sized {
    /// What kind of value it is, in words.
    const KIND: &'static str;
    /// The words that are accepted, where only a few are.
    const CHOICES: &'static [&'static str] = &[];
    /// Whether the value must not be seen.
    const SECRET: bool = false;

    /// Reads a text that is neither empty nor surrounded by space.
    ///
    /// The error completes the sentence "`SAAS_PORT` …" and never repeats the text: whoever mixes up two
    /// lines may have put a password here.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value as people may see it; `None` when there is none.
    fn shown(&self) -> Option<String>;

    /// The value when it is neither set nor has a default; `None` for a type that cannot do without.
    fn when_unset() -> Option<Self> {
        None
    }

    /// Whether a number lies in the range; other values always do.
    fn lies_within(&self, _range: &RangeInclusive<u64>) -> bool {
        true
    }

    /// Reads a text and holds it against the range.
    fn parse_within(text: &str, range: Option<&RangeInclusive<u64>>) -> Result<Self, String> {
        let value = Self::parse(text)?;
        match range {
            Some(range) if !value.lies_within(range) => {
                Err(format!("is not within {} to {}", range.start(), range.end()))
            }
            _ => Ok(value),
        }
    }
}

impl<T: SettingValue> SettingValue for Option<T> {
    const KIND: &'static str = T::KIND;
    const CHOICES: &'static [&'static str] = T::CHOICES;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(T::shown)
    }

    fn when_unset() -> Option<Self> {
        Some(None)
    }

    fn lies_within(&self, range: &RangeInclusive<u64>) -> bool {
        self.as_ref().is_none_or(|value| value.lies_within(range))
    }
}

macro_rules! whole_number {
    ($($number:ty),+) => { $(
        impl SettingValue for $number {
            const KIND: &'static str = "whole number";

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("is not a whole number from 0 to {}", Self::MAX))
            }

            fn shown(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn lies_within(&self, range: &RangeInclusive<u64>) -> bool {
                u64::try_from(*self).is_ok_and(|number| range.contains(&number))
            }
        }
    )+ };
}

whole_number!(u16, u32, u64, usize);

impl SettingValue for bool {
    const KIND: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("is neither true nor false".to_owned()),
        }
    }

    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl SettingValue for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("has a control character in it".to_owned());
        }
        Ok(text.to_owned())
    }

    fn shown(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl SettingValue for Secret<String> {
    const KIND: &'static str = "secret text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        String::parse(text).map(Self::new)
    }

    fn shown(&self) -> Option<String> {
        Some("[redacted]".to_owned())
    }
}

impl SettingValue for PathBuf {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        String::parse(text).map(Self::from)
    }

    fn shown(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl SettingValue for IpAddr {
    const KIND: &'static str = "IP address";

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(Ipv4Addr::LOCALHOST.into());
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        bare.parse().map_err(|_| "is not an IP address".to_owned())
    }

    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl SettingValue for SocketAddr {
    const KIND: &'static str = "IP address and port";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is not an IP address and a port".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        // An IPv6 address without its brackets would lose its last group to the port.
        if host.contains(':') && !host.starts_with('[') {
            return Err(wrong());
        }
        Ok(Self::new(IpAddr::parse(host).map_err(|_| wrong())?, port.parse().map_err(|_| wrong())?))
    }

    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A list of texts with at least one entry, none of them twice, in the order given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TextList {
    first: String,
    rest: Vec<String>,
}

impl TextList {
    /// The first entry.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// All entries, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.first).chain(&self.rest).map(String::as_str)
    }
}

impl SettingValue for TextList {
    const KIND: &'static str = "list, as a,b or a JSON array of texts";

    fn parse(text: &str) -> Result<Self, String> {
        let given: Vec<String> = if text.starts_with('[') {
            serde_json::from_str(text).map_err(|_| "is not a JSON array of texts".to_owned())?
        } else {
            text.split(',').map(str::to_owned).collect()
        };
        let mut entries: Vec<String> = Vec::with_capacity(given.len());
        for entry in given.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
            let entry = String::parse(entry)?;
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        let mut entries = entries.into_iter();
        let first = entries.next().ok_or_else(|| "is a list without an entry".to_owned())?;
        Ok(Self { first, rest: entries.collect() })
    }

    fn shown(&self) -> Option<String> {
        Some(self.iter().collect::<Vec<_>>().join(","))
    }
}

/// A list of secret texts with at least one entry, in the order given.
#[derive(Clone, Debug)]
pub struct SecretList(Vec<Secret<String>>);

impl SecretList {
    /// All entries, the first one first.
    pub fn entries(&self) -> &[Secret<String>] {
        &self.0
    }
}

impl SettingValue for SecretList {
    const KIND: &'static str = "list of secret texts, as a,b";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let entries: Vec<_> = entries.map(Secret::<String>::parse).collect::<Result<_, _>>()?;
        if entries.is_empty() { Err("is a list without an entry".to_owned()) } else { Ok(Self(entries)) }
    }

    fn shown(&self) -> Option<String> {
        Some("[redacted]".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{IpAddr, Secret, SecretList, SettingValue, SocketAddr, TextList};

    #[test]
    fn a_switch_reads_the_usual_words() {
        for text in ["true", "1", "YES", "on"] {
            assert_eq!(bool::parse(text), Ok(true), "{text}");
        }
        for text in ["False", "0", "no", "OFF"] {
            assert_eq!(bool::parse(text), Ok(false), "{text}");
        }
        assert!(bool::parse("maybe").is_err());
    }

    #[test]
    fn a_number_is_held_against_its_range() {
        assert_eq!(u32::parse_within("7", Some(&(1..=10))), Ok(7));
        assert_eq!(u32::parse_within("11", Some(&(1..=10))), Err("is not within 1 to 10".to_owned()));
        assert!(u16::parse("65536").is_err() && u16::parse("-1").is_err() && u16::parse("1.5").is_err());
        assert_eq!(Option::<u16>::parse_within("11", Some(&(1..=10))).ok(), None);
    }

    #[test]
    fn a_list_is_csv_or_json_and_keeps_its_order_without_repeats() {
        for text in ["b, a,b,,", r#"["b","a","b",""]"#] {
            let list = TextList::parse(text).map(|list| (list.first().to_owned(), list.shown()));
            assert_eq!(list, Ok(("b".to_owned(), Some("b,a".to_owned()))), "{text}");
        }
        for text in [",", "[]", "[1]", r#"["a""#, "a,\u{7}"] {
            assert!(TextList::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_may_be_bracketed_or_called_localhost() {
        for (text, shown) in [("localhost", "127.0.0.1"), ("[::1]", "::1"), ("0.0.0.0", "0.0.0.0")] {
            assert_eq!(IpAddr::parse(text).map(|host| host.to_string()), Ok(shown.to_owned()));
        }
        assert!(IpAddr::parse("example.com").is_err());
    }

    #[test]
    fn an_address_with_a_port_needs_both() {
        for (text, shown) in [("localhost:9100", "127.0.0.1:9100"), ("[::1]:0", "[::1]:0")] {
            assert_eq!(SocketAddr::parse(text).map(|address| address.to_string()), Ok(shown.to_owned()));
        }
        for text in ["9100", "127.0.0.1", "::1:9100", "[::1]", "127.0.0.1:", "127.0.0.1:65536", "db:9100"] {
            assert!(SocketAddr::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_of_secrets_keeps_its_order_and_is_never_shown() {
        let list = SecretList::parse("new pepper, old pepper,").unwrap();
        assert_eq!(
            list.entries().iter().map(|text| text.expose().as_str()).collect::<Vec<_>>(),
            ["new pepper", "old pepper"]
        );
        assert_eq!(list.shown(), Some("[redacted]".to_owned()));
        assert!(!format!("{list:?}").contains("pepper"));
        assert!(SecretList::parse(" , ").is_err());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::<String>::parse("hunter2");
        assert_eq!(secret.as_ref().map(SettingValue::shown), Ok(Some("[redacted]".to_owned())));
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
