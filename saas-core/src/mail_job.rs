//! The job that a command leaves behind where somebody is to be mailed.
//!
//! It names the mail and whom it is about, by id: the address is looked up and the text is made when it is sent. So a domain knows of mails
//! only that there are some, what is stored tells nothing, and who has changed their address since gets it at the new one.

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::{SessionId, TenantId, UserId, jobs::Job};

/// A mail that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mail", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SendMail {
    /// To somebody who has registered, about the tenant that they founded.
    Welcome {
        /// Who has registered.
        user: UserId,
        /// Their tenant.
        tenant: TenantId,
    },
    /// To the owner of a session that was ended because one of its refresh tokens was used a second time.
    SessionRevoked {
        /// Whose session it was.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// To whoever's account was locked because of wrong passwords.
    UnlockAccount {
        /// Whose account it is.
        user: UserId,
        /// The lock: an id, of which the mail's token is made.
        lock: Uuid,
    },
}

impl Job for SendMail {
    const KIND: &'static str = "mail.send";
    /// Some four hours of a service that is away; below the day for which services remember idempotency keys.
    const MAX_ATTEMPTS: i64 = 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_holds_a_name_and_ids() {
        let id = Uuid::from_u128(7);
        let welcome = SendMail::Welcome { user: UserId::from_uuid(id), tenant: TenantId::from_uuid(id) };
        let json = serde_json::to_string(&welcome).unwrap();
        let expected = r#"{"mail":"welcome","user":"00000000-0000-0000-0000-000000000007","tenant":"00000000-0000-0000-0000-000000000007"}"#;
        assert_eq!(json, expected);
        assert_eq!(SendMail::read(1, expected).unwrap(), welcome);
        let revoked =
            SendMail::SessionRevoked { user: UserId::from_uuid(id), session: SessionId::from_uuid(id) };
        let expected = r#"{"mail":"session_revoked","user":"00000000-0000-0000-0000-000000000007","session":"00000000-0000-0000-0000-000000000007"}"#;
        assert_eq!(serde_json::to_string(&revoked).unwrap(), expected);
        assert_eq!(SendMail::read(1, expected).unwrap(), revoked);
        let unlock = SendMail::UnlockAccount { user: UserId::from_uuid(id), lock: id };
        let expected = r#"{"mail":"unlock_account","user":"00000000-0000-0000-0000-000000000007","lock":"00000000-0000-0000-0000-000000000007"}"#;
        assert_eq!(serde_json::to_string(&unlock).unwrap(), expected);
        assert_eq!(SendMail::read(1, expected).unwrap(), unlock);
    }
}
