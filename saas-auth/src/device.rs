//! What a session's list says of the program and the place it came from, without saying too much.

use std::net::IpAddr;

/// The program, as its user agent tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// `Windows`, `macOS`, `iOS`, …
    pub platform: Option<String>,
    /// `Chrome`, `Firefox`, …
    pub browser: Option<String>,
    /// `desktop`, `mobile`, `tablet` or `bot`.
    pub device: Option<String>,
}

/// The first row that a user agent contains names it; a row whose exclusion it contains does not count.
const BROWSERS: [(&str, &str, &[&str]); 9] = [
    ("edg", "Edge", &[]),
    ("brave", "Brave", &[]),
    ("arc/", "Arc", &[]),
    ("opr/", "Opera", &[]),
    ("chrome", "Chrome", &[]),
    ("crios", "Chrome", &[]),
    ("firefox", "Firefox", &[]),
    ("fxios", "Firefox", &[]),
    ("safari", "Safari", &["chrome", "crios"]),
];
const PLATFORMS: [(&str, &str); 8] = [
    ("iphone", "iOS"),
    ("ipad", "iPadOS"),
    ("android", "Android"),
    ("cros", "ChromeOS"),
    ("mac os", "macOS"),
    ("macintosh", "macOS"),
    ("windows", "Windows"),
    ("linux", "Linux"),
];

impl Device {
    /// Reads a user agent; it proves nothing, it helps a person recognise a session.
    pub fn from_user_agent(user_agent: &str) -> Self {
        let agent = user_agent.to_ascii_lowercase();
        let has = |part: &str| agent.contains(part);
        let browser = BROWSERS.iter().find(|(part, _, not)| has(part) && !not.iter().any(|part| has(part)));
        let device = if ["bot", "spider", "crawl"].into_iter().any(has) {
            Some("bot")
        } else if has("ipad") || has("tablet") || (has("android") && !has("mobile")) {
            Some("tablet")
        } else if has("mobile") || has("iphone") {
            Some("mobile")
        } else if has("mozilla") {
            Some("desktop")
        } else {
            None
        };
        Self {
            platform: PLATFORMS.iter().find(|(part, _)| has(part)).map(|(_, name)| (*name).to_owned()),
            browser: browser.map(|(_, name, _)| (*name).to_owned()),
            device: device.map(str::to_owned),
        }
    }
}

/// An address with its end hidden: the last octet of IPv4, all but the first four groups of IPv6.
pub(crate) fn masked(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.*")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}:*")
        }
    }
}

/// The first address of those that are masked so.
pub(crate) fn first_of(masked: &str) -> Option<IpAddr> {
    let shown = masked.strip_suffix('*')?;
    let first = if shown.contains(':') { format!("{shown}:") } else { format!("{shown}0") };
    first.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_user_agents_are_told_apart() {
        let told = |agent: &str| {
            let device = Device::from_user_agent(agent);
            [device.platform, device.browser, device.device].map(Option::unwrap_or_default).join("/")
        };
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Windows/Chrome/desktop",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0",
                "Windows/Edge/desktop",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
                "iOS/Safari/mobile",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Linux/Firefox/desktop",
            ),
            ("curl/8.5.0", "//"),
        ] {
            assert_eq!(told(agent), expected);
        }
    }

    #[test]
    fn an_address_is_masked() {
        let masked = |text: &str| text.parse().map(masked).unwrap_or_default();
        assert_eq!(masked("203.0.113.7"), "203.0.113.*");
        assert_eq!(masked("::ffff:203.0.113.7"), "203.0.113.*");
        assert_eq!(masked("2001:db8:85a3:8d3:1319:8a2e:370:7348"), "2001:db8:85a3:8d3:*");
    }

    #[test]
    fn of_a_masked_address_the_first_is_known() {
        let first = |text: &str| text.parse().ok().and_then(|ip| first_of(&masked(ip)));
        for (address, expected) in [
            ("203.0.113.7", "203.0.113.0"),
            ("2001:db8:85a3:8d3:1319::1", "2001:db8:85a3:8d3::"),
            ("::1", "::"),
        ] {
            assert_eq!(first(address), expected.parse().ok(), "{address}");
        }
        for other in ["", "*", "203.0.113.7", "203.0.*", "ada@example.com*"] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }
}
