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
    /// To the owner of a session that was opened on a device, or in a country, that none of their others is of.
    NewSignIn {
        /// Whose session it is.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// To somebody who has to prove that an address is theirs.
    VerifyEmail {
        /// The row of the token that proves it.
        token: Uuid,
    },
    /// To the user of an address that somebody tried to use for another account.
    AlreadyRegistered {
        /// Whose address it is.
        user: UserId,
    },
    /// To somebody who has forgotten their password.
    PasswordReset {
        /// The row of the token that sets a new one.
        token: Uuid,
    },
    /// To somebody who is to set a new password, because an administrator asks them to.
    PasswordResetByAdmin {
        /// The row of the token that sets it.
        token: Uuid,
    },
    /// To whoever's account was locked because of wrong passwords.
    UnlockAccount {
        /// The row of the token that unlocks it.
        token: Uuid,
    },
    /// To somebody whose password was changed.
    PasswordChanged {
        /// Whose it is.
        user: UserId,
    },
    /// To the new address of somebody who wants to change theirs.
    EmailChangeConfirm {
        /// The row of the token that does it.
        token: Uuid,
    },
    /// To the address that somebody is about to give up.
    EmailChangeNotice {
        /// The row of the token that undoes it.
        token: Uuid,
    },
    /// To somebody who has a second factor from now on.
    FactorAdded {
        /// Who has it.
        user: UserId,
    },
    /// To somebody whose second factor was removed.
    FactorRemoved {
        /// Who had it.
        user: UserId,
    },
    /// To somebody one of whose recovery codes was used.
    RecoveryCodeUsed {
        /// Whose it was.
        user: UserId,
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
        let reset = SendMail::PasswordReset { token: id };
        let expected = r#"{"mail":"password_reset","token":"00000000-0000-0000-0000-000000000007"}"#;
        assert_eq!(serde_json::to_string(&reset).unwrap(), expected);
        assert_eq!(SendMail::read(1, expected).unwrap(), reset);
        let user = UserId::from_uuid(id);
        for (mail, name) in [
            (SendMail::FactorAdded { user }, "factor_added"),
            (SendMail::FactorRemoved { user }, "factor_removed"),
            (SendMail::RecoveryCodeUsed { user }, "recovery_code_used"),
        ] {
            let expected = format!(r#"{{"mail":"{name}","user":"00000000-0000-0000-0000-000000000007"}}"#);
            assert_eq!(serde_json::to_string(&mail).unwrap(), expected);
            assert_eq!(SendMail::read(1, &expected).unwrap(), mail);
        }
        let unlock = SendMail::UnlockAccount { token: id };
        let expected = r#"{"mail":"unlock_account","token":"00000000-0000-0000-0000-000000000007"}"#;
        assert_eq!(serde_json::to_string(&unlock).unwrap(), expected);
        assert_eq!(SendMail::read(1, expected).unwrap(), unlock);
    }
}
