//! Ids: newtypes over UUIDv7 (RFC 9562 section 5.7), made from [`Clock`] and [`Entropy`] so that tests can repeat them.
//!
//! An id names a row; it is never a credential.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Clock, Entropy};

/// A UUIDv7 of now.
pub fn uuid_v7(clock: &dyn Clock, entropy: &dyn Entropy) -> Uuid {
    uuid_v7_at(clock.now(), entropy)
}

/// A UUIDv7 of then.
pub fn uuid_v7_at(at: DateTime<Utc>, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0_u8; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// What comes before every UUIDv7 of then and after every earlier one, to the millisecond.
pub fn first_uuid_at(at: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(at.timestamp_millis()).unwrap_or(0);
    // The millisecond is the first 48 bits of 128.
    Uuid::from_u128(millis << 80)
}

/// A text that is not the id it was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")]
pub struct InvalidId;

/// Declares an id: a newtype over UUIDv7 with one spelling.
///
/// ```
/// saas_core::id! {
///     /// An invoice.
///     pub InvoiceId
/// }
/// assert!("01890a5d-ac96-774b-bcce-b302099a8057".parse::<InvoiceId>().is_ok());
/// ```
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* pub $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            $crate::id::export::serde::Serialize, $crate::id::export::serde::Deserialize,
        )]
        #[serde(crate = "saas_core::id::export::serde", transparent)]
        pub struct $name($crate::id::export::Uuid);

        impl $name {
            /// A new id of now.
            pub fn generate(clock: &dyn $crate::Clock, entropy: &dyn $crate::Entropy) -> Self {
                Self($crate::id::uuid_v7(clock, entropy))
            }

            /// The id that a row holds.
            pub const fn from_uuid(uuid: $crate::id::export::Uuid) -> Self {
                Self(uuid)
            }

            /// What a row holds.
            pub const fn as_uuid(self) -> $crate::id::export::Uuid {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::write!(f, ::std::concat!(::std::stringify!($name), "({})"), self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::id::InvalidId;

            /// The hyphenated form alone: one id has one spelling.
            fn from_str(text: &str) -> ::std::result::Result<Self, $crate::id::InvalidId> {
                $crate::id::parse(text).map(Self)
            }
        }
    };
}

/// What [`id!`](crate::id!) needs wherever it is used.
#[doc(hidden)]
pub mod export {
    pub use serde;
    pub use uuid::Uuid;
}

#[doc(hidden)]
pub fn parse(text: &str) -> Result<Uuid, InvalidId> {
    if text.len() == 36 { Uuid::try_parse(text).map_err(|_| InvalidId) } else { Err(InvalidId) }
}

id! {
    /// A user: a person with credentials, over all tenants.
    pub UserId
}
id! {
    /// A tenant: one customer's closed space.
    pub TenantId
}
id! {
    /// A session, which is also a refresh token's family; `sid` on the wire.
    pub SessionId
}
id! {
    /// One request; in the `X-Request-Id` header, in logs and in error answers.
    pub RequestId
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::ManualClock, entropy::SeededEntropy};

    #[test]
    fn ids_are_version_7_and_sort_by_time() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::new(1));
        let first = UserId::generate(&clock, &entropy);
        clock.advance(std::time::Duration::from_millis(1));
        let second = UserId::generate(&clock, &entropy);
        assert_eq!(first.as_uuid().get_version_num(), 7);
        assert!(first < second);
    }

    #[test]
    fn one_id_has_one_spelling() {
        let text = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(text.parse::<UserId>().map(|id| id.to_string()), Ok(text.to_owned()));
        for wrong in ["", "01890a5dac96774bbcceb302099a8057", "{01890a5d-ac96-774b-bcce-b302099a8057}", "x"] {
            assert_eq!(wrong.parse::<UserId>(), Err(InvalidId));
        }
    }
}
