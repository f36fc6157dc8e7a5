//! Another address, and taking that back.

use saas_core::{Actor, Email, FieldError, Quota, Secret, SendMail, audit::AuditEvent, rate_limit::Subject};

use super::{HOUR, Issue, REACH, RecoveryError};
use crate::{
    Auth, Changed, MailPurpose, Revocation, Undos,
    audited::{EMAIL_CHANGE_REQUESTED, EMAIL_CHANGE_UNDONE, EMAIL_CHANGED, PASSWORD_RESET_REQUESTED},
    auth::measures,
};

/// How often an hour a user may ask for another address.
const CHANGES: Quota = Quota::new("email_change", 5, HOUR);

impl Auth {
    /// Asks for another address, with the actor's password: the new address is mailed what confirms it, the old one what undoes it. Until it
    /// is confirmed nothing changes. An address that somebody has answers the same; its owner hears of it.
    pub async fn request_email_change(
        &self,
        actor: &Actor,
        current_password: &Secret<String>,
        new: &Email,
    ) -> Result<(), RecoveryError> {
        let (_, user, _) = self.prove_password(actor, current_password, "email_change").await?;
        if user.email == *new && user.email.shown() == new.shown() {
            let message = "send another address than the one that you have";
            return Err(RecoveryError::SameAddress([FieldError::new("new_email", "same_address", message)]));
        }
        self.take(&CHANGES, Subject::new("user", user.id.as_uuid().as_bytes())).await?;
        let rules = &self.config.recovery;
        let change = Issue {
            purpose: MailPurpose::EmailChange,
            user: Some(&user),
            bound: &user.email,
            other: Some(new.shown()),
            lifetime: rules.verification_lifetime,
        };
        let both = format!("{}\n{}", user.email.shown(), new.shown());
        let undo = Issue {
            purpose: MailPurpose::EmailChangeUndo,
            user: Some(&user),
            bound: new,
            other: Some(&both),
            lifetime: rules.undo_lifetime,
        };
        let mut tx = self.ports.storage.begin(REACH).await?;
        let change = self.issue(&mut tx, &change).await?;
        let undo = self.issue(&mut tx, &undo).await?;
        self.mail(&mut tx, SendMail::EmailChangeConfirm { token: change }).await?;
        self.mail(&mut tx, SendMail::EmailChangeNotice { token: undo }).await?;
        let event = AuditEvent::new(EMAIL_CHANGE_REQUESTED).about(user.id);
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::recovery("email_change", "requested");
        Ok(())
    }

    /// Makes the change, by the token that the new address was mailed; what was mailed to prove or reset under the old one ends.
    pub async fn confirm_email_change(
        &self,
        actor: &Actor,
        token: &Secret<String>,
    ) -> Result<(), RecoveryError> {
        let done = self.try_confirm_email_change(actor, token).await;
        measures::recovered("email_change", &done);
        done
    }

    async fn try_confirm_email_change(
        &self,
        actor: &Actor,
        token: &Secret<String>,
    ) -> Result<(), RecoveryError> {
        let (token, user) = self.presented(token, MailPurpose::EmailChange).await?;
        self.is_bound_to(&token, &user.email)?;
        let (new, _) = self.other_addresses(&token)?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        // Whether it is free, and whether it is still asked for, is decided here and nowhere before.
        if !self.ports.users.set_email(&mut tx, user.id, &user.email, &new, self.now()).await? {
            return Err(RecoveryError::InvalidToken);
        }
        self.use_up(&mut tx, &token).await?;
        self.end_given_out(&mut tx, user.id, Undos::Stay).await?;
        self.note_change(&mut tx, Changed::User(user.id)).await?;
        self.ports.audit.record(&mut tx, actor, AuditEvent::new(EMAIL_CHANGED).about(user.id)).await?;
        tx.commit().await?;
        tracing::info!(user.id = %user.id, "the address was changed");
        Ok(())
    }

    /// Gives an account the address back that it had before a change, whatever it has by now: whoever holds the mailbox that was there first
    /// is its owner. Password, sessions and every newer token end, and the old address is mailed what sets a new password. Before the
    /// change is confirmed it keeps it from happening, with the same care.
    pub async fn undo_email_change(
        &self,
        actor: &Actor,
        token: &Secret<String>,
    ) -> Result<(), RecoveryError> {
        let done = self.try_undo_email_change(actor, token).await;
        measures::recovered("email_change_undo", &done);
        done
    }

    async fn try_undo_email_change(
        &self,
        actor: &Actor,
        token: &Secret<String>,
    ) -> Result<(), RecoveryError> {
        let (token, user) = self.presented(token, MailPurpose::EmailChangeUndo).await?;
        let (old, _) = self.other_addresses(&token)?;
        let now = self.now();
        let mut tx = self.ports.storage.begin(REACH).await?;
        if !self.ports.users.set_email(&mut tx, user.id, &user.email, &old, now).await? {
            return Err(RecoveryError::EmailTaken);
        }
        self.ports.users.set_password(&mut tx, user.id, None, now).await?;
        self.use_up(&mut tx, &token).await?;
        self.end_given_out(&mut tx, user.id, Undos::StayBefore(token.id)).await?;
        let why = Revocation::EmailChangeUndone;
        let ended = self.ports.sessions.revoke_all(&mut tx, user.id, why, now).await?;
        self.note_change(&mut tx, Changed::User(user.id)).await?;
        self.ports.audit.record(&mut tx, actor, AuditEvent::new(EMAIL_CHANGE_UNDONE).about(user.id)).await?;
        let reset = self.issue_reset(&mut tx, &old, Some(&user)).await?;
        self.mail(&mut tx, SendMail::PasswordReset { token: reset }).await?;
        let event = AuditEvent::new(PASSWORD_RESET_REQUESTED).about(user.id).because("email_change_undone");
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::sessions_revoked(why, ended);
        tracing::info!(user.id = %user.id, sessions = ended, "a change of address was undone");
        Ok(())
    }
}
