//! `Forwarded` (RFC 7239), read from its end.
//!
//! What a proxy wrote stands at the end, behind whatever its client sent: a quote that a client opened and never closed must not swallow
//! it, as it would where the line is read from its beginning.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use http::{HeaderMap, header};

/// What one proxy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    /// Who called it; none where it does not say, hides it, or is not understood.
    pub(super) client: Option<IpAddr>,
    /// How.
    pub(super) over_tls: Option<bool>,
}

/// What stands in `Forwarded`, the last first, on several lines or on one.
pub(super) fn hops(headers: &HeaderMap) -> impl Iterator<Item = Hop> {
    let lines = headers.get_all(header::FORWARDED).iter().rev();
    lines.flat_map(|line| FromEnd { rest: Some(line.as_bytes()), separator: b',' }).map(hop)
}

/// The parts of a text between separators that no quotes are around, the last first.
struct FromEnd<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for FromEnd<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            if *byte == b'"' && !is_escaped(&rest[..at]) {
                quoted = !quoted;
            } else if *byte == self.separator && !quoted {
                self.rest = Some(&rest[..at]);
                return Some(&rest[at + 1..]);
            }
        }
        self.rest = None;
        Some(rest)
    }
}

/// Whether what follows has a backslash of its own.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// One proxy's `for=…;proto=…`. What is said twice is not said.
fn hop(element: &[u8]) -> Hop {
    let nothing = Hop { client: None, over_tls: None };
    let (mut client, mut proto) = (None, None);
    for pair in (FromEnd { rest: Some(element), separator: b';' }) {
        let pair = pair.trim_ascii();
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            if pair.is_empty() {
                continue;
            }
            return nothing;
        };
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        let slot = match name {
            name if name.eq_ignore_ascii_case(b"for") => &mut client,
            name if name.eq_ignore_ascii_case(b"proto") => &mut proto,
            _ => continue,
        };
        let Some(value) = unquoted(value) else { return nothing };
        if slot.replace(value).is_some() {
            return nothing;
        }
    }
    Hop {
        client: client.and_then(|node| node_address(&node)),
        over_tls: proto.and_then(|proto| over_tls(&proto)),
    }
}

/// A token as it is, a quoted string without its quotes and escapes (RFC 9110 section 5.6.4).
fn unquoted(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return (!value.contains(&b'"')).then_some(Cow::Borrowed(value));
    };
    let inner = inner.strip_suffix(b"\"")?;
    if !inner.iter().any(|byte| matches!(byte, b'\\' | b'"')) {
        return Some(Cow::Borrowed(inner));
    }
    let (mut plain, mut bytes) = (Vec::with_capacity(inner.len()), inner.iter());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'"' => return None,
            b'\\' => *bytes.next()?,
            byte => *byte,
        });
    }
    Some(Cow::Owned(plain))
}

/// The address of a node (RFC 7239 section 6): IPv6 has its brackets there. `unknown` and `_hidden` have none.
fn node_address(node: &[u8]) -> Option<IpAddr> {
    address(node).filter(|address| address.is_ipv4() || node.starts_with(b"["))
}

/// An address as proxies write it: IPv4 or IPv6, the latter with or without brackets, with a port or without.
pub(super) fn address(word: &[u8]) -> Option<IpAddr> {
    let word = std::str::from_utf8(word).ok()?;
    let address: IpAddr = if let Some(rest) = word.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        is_port(port).then(|| address.parse::<Ipv6Addr>().ok())??.into()
    } else if let Ok(address) = word.parse() {
        address
    } else {
        let at = word.find(':')?;
        is_port(&word[at..]).then(|| word[..at].parse::<std::net::Ipv4Addr>().ok())??.into()
    };
    Some(address.to_canonical())
}

/// Nothing, or a colon and a port, which may be a hidden one.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(of_a_name),
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// What a scheme says.
pub(super) fn over_tls(scheme: &[u8]) -> Option<bool> {
    if scheme.eq_ignore_ascii_case(b"https") {
        Some(true)
    } else if scheme.eq_ignore_ascii_case(b"http") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
