//! Why a token is refused.

use saas_core::{ErrorKind, Fault, Report};

/// Why an access token is refused. The variants are for logs; callers get one code, and `token_expired` where a refresh would help.
///
/// Nothing of the token is in it, for whoever sent it chose what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Too long, not three parts of canonical base64url, or not strict JSON in them.
    #[error("the access token is not well formed")]
    Malformed,
    /// The header lacks a member, has one more than it may, or one of the wrong type.
    #[error("the access token's header does not have exactly the members it should")]
    Header,
    /// Another algorithm than the key's.
    #[error("the access token names an algorithm that is not accepted")]
    Algorithm,
    /// Another kind of token.
    #[error("the token is not of the type of access tokens")]
    Type,
    /// No key has this name.
    #[error("the access token names a key that is not known")]
    UnknownKey,
    /// The signature is not that of the key over these bytes.
    #[error("the access token's signature is not valid")]
    Signature,
    /// A claim is missing, unknown, of the wrong type or out of its range.
    #[error("the access token does not have exactly the claims it should")]
    Claims,
    /// Another issuer's.
    #[error("the access token is of another issuer")]
    Issuer,
    /// Meant for somebody else.
    #[error("the access token is for another audience")]
    Audience,
    /// Signed by us for another purpose or another kind of client.
    #[error("the token is not for the use of an access token")]
    Use,
    /// It says that it lives longer than any access token may, or ends before it was made.
    #[error("the access token claims a life that no access token has")]
    Lifetime,
    /// Its time is over.
    #[error("the access token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the access token is not valid yet")]
    NotYetValid,
}

impl Fault for TokenError {
    fn report(&self) -> Report<'_> {
        let code = match self {
            Self::Expired => "token_expired",
            _ => "invalid_token",
        };
        Report::new(ErrorKind::Unauthenticated, code)
    }
}
