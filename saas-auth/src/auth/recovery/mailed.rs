//! What the job that sends a mail with a token needs to know.

use chrono::{DateTime, Utc};
use saas_core::{Actor, Email, Field, Secret};

use super::{REACH, RecoveryError};
use crate::{Auth, MailPurpose, OneTimeToken, OneTimeTokenId, User, UserStatus, auth::keys::is_operator};

/// Where the other address of a token stands.
pub(super) const fn other_field(id: &[u8]) -> Field<'_> {
    Field { table: "saas_one_time_tokens", column: "address_envelope", row: id }
}

/// A token that can still be used, made for the mail.
#[derive(Debug)]
#[non_exhaustive]
pub struct MailedToken {
    /// Whose it is, as they are now.
    pub user: User,
    /// Where the mail goes.
    pub to: Email,
    /// Of an undo: the address that is to take the place of the one it goes to.
    pub new_address: Option<Email>,
    /// The token.
    pub token: Secret<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Auth {
    /// The token of a row, and whom it goes to; `None` when it is nobody's, was used or replaced, is over, or was made for an address that the
    /// user has not any more. For the job that sends it.
    pub async fn mailed_token(
        &self,
        actor: &Actor,
        id: OneTimeTokenId,
    ) -> Result<Option<MailedToken>, RecoveryError> {
        if !is_operator(actor) {
            return Err(RecoveryError::Forbidden);
        }
        let mut conn = self.ports.storage.read(REACH).await?;
        let Some(stored) = self.ports.one_time_tokens.by_id(&mut conn, id).await? else { return Ok(None) };
        let (true, Some(user)) = (stored.is_live(self.now()), stored.user) else { return Ok(None) };
        let user = self.ports.users.by_id(&mut conn, user).await?;
        let Some(user) = user.filter(|user| user.status == UserStatus::Active) else { return Ok(None) };
        let undo = stored.purpose == MailPurpose::EmailChangeUndo;
        // An undo goes to the address that is given up, whether it is by now or not.
        if !undo && self.is_bound_to(&stored, &user.email).is_err() {
            return Ok(None);
        }
        let (to, new_address) = match stored.purpose {
            MailPurpose::EmailChange | MailPurpose::EmailChangeUndo => self.other_addresses(&stored)?,
            _ => (user.email.clone(), None),
        };
        let token = self.mail_tokens.token(stored.purpose, &stored.key, stored.id.as_uuid())?;
        Ok(Some(MailedToken { user, to, new_address, token, expires_at: stored.expires_at }))
    }

    /// The addresses in a token's envelope: the one that it goes to or that it gives, and the one besides.
    pub(in crate::auth) fn other_addresses(
        &self,
        token: &OneTimeToken,
    ) -> Result<(Email, Option<Email>), RecoveryError> {
        let id = token.id.as_uuid();
        let envelope = token.other_address.as_ref().ok_or(RecoveryError::InvalidToken)?;
        let opened = self.ports.fields.unseal(other_field(id.as_bytes()), envelope).map_err(|error| {
            tracing::error!(one_time_token.id = %token.id, %error, "a token's address does not open");
            RecoveryError::InvalidToken
        })?;
        let text = std::str::from_utf8(opened.expose()).map_err(|_| RecoveryError::InvalidToken)?;
        let (first, second) =
            text.split_once('\n').map_or((text, None), |(first, second)| (first, Some(second)));
        let parse = |text: &str| Email::parse(text).map_err(|_| RecoveryError::InvalidToken);
        Ok((parse(first)?, second.map(parse).transpose()?))
    }
}
