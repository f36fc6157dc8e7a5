//! Ids: newtypes over UUIDv7 (RFC 9562 section 5.7), made from [`Clock`] and [`Entropy`] so that tests can repeat them.
//!
//! An id names a row; it is never a credential.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Clock, Entropy};

/// A UUIDv7 of now.
pub fn uuid_v7(clock: &dyn Clock, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0_u8; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// A text that is not the id it was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id of now.
            pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(clock, entropy))
            }

            /// The id that a row holds.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// What a row holds.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// The hyphenated form alone: one id has one spelling.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }
    };
}

id! {
    /// A user: a person with credentials, over all tenants.
    UserId
}
id! {
    /// A tenant: one customer's closed space.
    TenantId
}
id! {
    /// A session, which is also a refresh token's family; `sid` on the wire.
    SessionId
}
id! {
    /// One request; in the `X-Request-Id` header, in logs and in error answers.
    RequestId
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
