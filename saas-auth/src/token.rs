//! Access tokens: signed JWTs of the profile of RFC 9068, at most 15 minutes long, with one algorithm.
//!
//! The rules are those of RFC 8725: the verifier fixes the algorithm, every member of the header and every claim is either known and
//! checked or refused, times come from the [`Clock`](saas_core::Clock) port. Who holds a valid token was signed in when it was made;
//! whether the session still stands is asked of the sessions, by `sid` and `ver`.

mod access;
mod claims;
mod error;
mod grant;
mod header;
mod measures;
mod rules;
mod strict_json;

pub(crate) use access::check_times;
pub use access::{AccessTokens, IssuedToken};
pub use claims::{AccessClaims, InvalidSubject, Subject};
pub use error::TokenError;
pub use grant::AccessGrant;
pub use rules::{AccessTokenRules, InvalidRules};
