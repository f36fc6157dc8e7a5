//! Session cookies: what a browser holds in place of tokens.
//!
//! A cookie is derived as a refresh token is (`refresh_token.rs`), for a purpose of its own and over the session's version where that has the
//! generation: it is never stored, a forged one is told before the database is asked, and whatever raises the version ends it. A refresh
//! token is no cookie and a cookie no refresh token.

use saas_core::{InternalError, Secret, SessionId, TenantId, UserId};

use crate::{Family, InvalidRefreshToken, Lineage, RefreshKeys, RefreshToken, refresh_token::Form};

const COOKIE: Form = Form { prefix: "saas_sc_", label: b"saas/session-cookie/v1" };

/// A cookie that a browser presented; whether it is genuine, [`RefreshKeys::made_cookie`] tells.
#[derive(Debug)]
pub struct SessionCookie(RefreshToken);

/// A text that has not the form of a session cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session cookie")]
pub struct InvalidSessionCookie;

impl From<InvalidRefreshToken> for InvalidSessionCookie {
    fn from(_: InvalidRefreshToken) -> Self {
        Self
    }
}

impl SessionCookie {
    /// Reads the form.
    pub fn parse(text: &str) -> Result<Self, InvalidSessionCookie> {
        Ok(Self(RefreshToken::parse_as(&COOKIE, text)?))
    }

    /// The session that it says it is of.
    pub const fn session(&self) -> SessionId {
        self.0.session
    }

    /// The user that it says it was given to.
    pub const fn user(&self) -> UserId {
        self.0.user
    }

    /// The tenant that it says it is good in.
    pub const fn tenant(&self) -> TenantId {
        self.0.tenant
    }

    /// The session's version that it says it is of.
    pub(crate) const fn version(&self) -> i64 {
        self.0.generation
    }

    /// Whether it is the one that the family's session has now.
    pub fn is_of(&self, family: &Family) -> bool {
        let session = &family.session;
        self.0.is_of(family) && session.tenant == self.0.tenant && session.version == self.0.generation
    }
}

impl RefreshKeys {
    /// The cookie of a session at a version.
    pub(crate) fn cookie(&self, of: &Lineage, version: i64) -> Result<Secret<String>, InternalError> {
        self.token_as(&COOKIE, &Lineage { generation: version, ..of.clone() })
    }

    /// Whether we made `cookie`, in time that does not depend on where it differs.
    pub fn made_cookie(&self, cookie: &SessionCookie) -> Result<bool, InternalError> {
        self.made_as(&COOKIE, &cookie.0)
    }
}
