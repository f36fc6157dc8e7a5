//! What an access token says.

use std::{fmt, fmt::Display, str::FromStr};

use saas_core::{Permission, Permissions, Role, SessionId, TenantId, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;
use uuid::Uuid;

use super::{TokenError, strict_json};

/// The claims of an access token (RFC 9068 section 2.2, RFC 7519 section 4.1), all of them required.
///
/// Times are whole seconds since 1970 (`NumericDate` of RFC 7519, without its fractions).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AccessClaims {
    /// Who made it.
    pub iss: String,
    /// Who it is for: one service, never a list.
    pub aud: String,
    /// Who it is about.
    #[serde(deserialize_with = "canonical")]
    pub sub: Subject,
    /// When it ends; at this second it is over.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// When it was made.
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    /// When it begins.
    #[serde(deserialize_with = "seconds")]
    pub nbf: i64,
    /// Its own id.
    #[serde(deserialize_with = "canonical")]
    pub jti: Uuid,
    /// The kind of client: [`AccessClaims::FIRST_PARTY`].
    pub client_id: String,
    /// The session that it belongs to.
    #[serde(deserialize_with = "canonical")]
    pub sid: SessionId,
    /// The tenant that it is good in.
    #[serde(deserialize_with = "canonical")]
    pub tenant_id: TenantId,
    /// When the user last proved who they are.
    #[serde(deserialize_with = "seconds")]
    pub auth_time: i64,
    /// How they did, in the words of RFC 8176.
    pub amr: Vec<String>,
    /// How much that is worth.
    pub acr: String,
    /// The session version: a token with an older one is void.
    #[serde(deserialize_with = "version")]
    pub ver: i64,
    /// What the token allows (RFC 6749 section 3.3).
    #[serde(serialize_with = "write_scope", deserialize_with = "read_scope")]
    pub scope: Permissions,
    /// The user's roles in the tenant when it was made.
    #[serde(deserialize_with = "canonical_list")]
    pub roles: Vec<Role>,
    /// What it may be used as: [`AccessClaims::ACCESS`].
    pub token_use: String,
    /// Whether the user's address was verified when it was made.
    pub email_verified: bool,
}

impl AccessClaims {
    /// The `client_id` of our own clients.
    pub const FIRST_PARTY: &str = "first-party";
    /// The `token_use` of access tokens.
    pub const ACCESS: &str = "access";

    /// Reads the payload of a token whose signature was checked.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, TokenError> {
        let members = strict_json::object(bytes).map_err(|_| TokenError::Malformed)?;
        serde_json::from_value(Value::Object(members)).map_err(|_| TokenError::Claims)
    }

    /// The user that it is about.
    pub const fn user(&self) -> UserId {
        let Subject::User(user) = self.sub;
        user
    }
}

/// Who a token is about: `user:` and the user's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// A person.
    User(UserId),
}

impl Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::User(user) = self;
        write!(f, "user:{user}")
    }
}

/// A text that names no subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a subject: expected user: and a UUID")]
pub struct InvalidSubject;

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let id = text.strip_prefix("user:").ok_or(InvalidSubject)?;
        id.parse().map(Self::User).map_err(|_| InvalidSubject)
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value in the one spelling that we write; UUIDs have several.
fn parse_canonical<T: FromStr + Display, E: Error>(text: &str) -> Result<T, E> {
    let value: T = text.parse().map_err(|_| E::custom("not such a value"))?;
    if value.to_string() == text { Ok(value) } else { Err(E::custom("another spelling")) }
}

fn canonical<'de, T: FromStr + Display, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    parse_canonical(&String::deserialize(deserializer)?)
}

fn canonical_list<'de, T: FromStr + Display, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| parse_canonical(text)).collect()
}

/// Whole seconds from 1970 to the end of the year 9999, which is as far as RFC 3339 goes.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let seconds = i64::deserialize(deserializer)?;
    if (0..=253_402_300_799).contains(&seconds) { Ok(seconds) } else { Err(D::Error::custom("out of range")) }
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let version = i64::deserialize(deserializer)?;
    if version >= 0 { Ok(version) } else { Err(D::Error::custom("out of range")) }
}

fn write_scope<S: Serializer>(scope: &Permissions, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&scope.to_scope())
}

fn read_scope<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Permissions, D::Error> {
    let text = String::deserialize(deserializer)?;
    let words = text.split(' ').filter(|_| !text.is_empty());
    let scope: Permissions =
        words.map(Permission::parse).collect::<Result<_, _>>().map_err(D::Error::custom)?;
    if scope.to_scope() == text { Ok(scope) } else { Err(D::Error::custom("another spelling")) }
}
