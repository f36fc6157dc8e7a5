//! Keyset paging: opaque cursors, bound to what they were made for.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// How many items a page holds: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(u32);

impl PageSize {
    /// The most.
    pub const MAX: u32 = 100;

    /// `None` outside `1..=100`.
    pub const fn new(size: u32) -> Option<Self> {
        if size == 0 || size > Self::MAX { None } else { Some(Self(size)) }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl PageSize {
    /// What to ask a store for: one more tells whether there is a next page.
    pub const fn and_one_more(self) -> u32 {
        self.0 + 1
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(20)
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The page of items of which one more was asked for; `cursor` makes the cursor after an item.
    pub fn cut(mut items: Vec<T>, size: PageSize, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let more = items.len() > size.get() as usize;
        items.truncate(size.get() as usize);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

/// Where a page begins: the key of the item before it, and a mark of the list that it belongs to.
///
/// A cursor of one list (tenant, owner, filter) is refused by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

/// A cursor that is damaged, or that belongs to another list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor does not belong to this list: start again without one")]
pub struct InvalidCursor;

impl Cursor {
    /// A cursor after the item with `key`, in the list that `scope` describes.
    pub fn new(scope: &str, key: &str) -> Self {
        let mut bytes = mark(scope).to_vec();
        bytes.extend_from_slice(key.as_bytes());
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// A cursor that a caller sent.
    pub fn from_wire(text: &str) -> Result<Self, InvalidCursor> {
        if text.len() > 512 { Err(InvalidCursor) } else { Ok(Self(text.to_owned())) }
    }

    /// The text for the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key, if this cursor belongs to the list that `scope` describes.
    pub fn key(&self, scope: &str) -> Result<String, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).map_err(|_| InvalidCursor)?;
        let (found, key) = bytes.split_at_checked(8).ok_or(InvalidCursor)?;
        if found != mark(scope) {
            return Err(InvalidCursor);
        }
        String::from_utf8(key.to_vec()).map_err(|_| InvalidCursor)
    }
}

/// The date in a cursor's key, in microseconds. Anybody can make a cursor: dates that an engine could not compare with are none of ours.
pub fn date_in_key(micros: &str) -> Result<DateTime<Utc>, InvalidCursor> {
    /// The end of the year 9999.
    const FARTHEST: i64 = 253_402_300_799_999_999;
    let micros = micros.parse().ok().filter(|micros| (0..=FARTHEST).contains(micros));
    micros.and_then(DateTime::from_timestamp_micros).ok_or(InvalidCursor)
}

/// Eight bytes that tell lists apart; no secret, for every query names its tenant anyway.
fn mark(scope: &str) -> [u8; 8] {
    let digest = Sha256::digest(scope.as_bytes());
    let mut mark = [0; 8];
    mark.copy_from_slice(&digest[..8]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let cursor = Cursor::new("sessions/a", "2026|x");
        assert_eq!(cursor.key("sessions/a"), Ok("2026|x".into()));
        assert_eq!(cursor.key("sessions/b"), Err(InvalidCursor));
        assert_eq!(Cursor::from_wire("!").and_then(|c| c.key("sessions/a")), Err(InvalidCursor));
    }

    #[test]
    fn a_date_that_an_engine_could_not_compare_with_is_refused() {
        for forged in ["-1", "-300000000000000000", "253402300800000000", "9223372036854775808", "x", ""] {
            assert_eq!(date_in_key(forged), Err(InvalidCursor), "{forged}");
        }
        assert_eq!(date_in_key("0").map(|date| date.timestamp()), Ok(0));
    }
}
