//! Unlocking an account by mail.

use saas_core::{
    Actor, Email, InternalError, Secret, SendMail, StoreError, Tx,
    audit::{AuditActor, AuditEvent},
};

use super::{Issue, REACH, RecoveryError};
use crate::{Auth, Forgiven, MailPurpose, User, UserStatus, audited::ACCOUNT_UNLOCKED, auth::measures};

impl Auth {
    /// Leaves the mail that unlocks an account behind in the transaction that writes its lock down. An address that nobody may have one for
    /// gets a token of nobody's and no mail, after the same work.
    pub(in crate::auth) async fn offer_unlock(
        &self,
        tx: &mut Tx,
        address: &Email,
        user: Option<&User>,
    ) -> Result<(), StoreError> {
        let issue = Issue {
            purpose: MailPurpose::Unlock,
            user: user.filter(|user| user.status == UserStatus::Active),
            bound: address,
            other: None,
            lifetime: self.config.guesses.unlock_lifetime,
        };
        let offered = match self.issue(tx, &issue).await {
            Ok(token) => self.mail(tx, SendMail::UnlockAccount { token }).await,
            Err(error) => Err(error),
        };
        offered.map_err(|error| match error {
            RecoveryError::Store(error) => error,
            other => StoreError::Backend(Box::new(InternalError::new(other))),
        })
    }

    /// Unlocks an account with the token of the mail about it. It works once. What was guessed at a second factor stays counted.
    pub async fn unlock(&self, actor: &Actor, token: &Secret<String>) -> Result<(), RecoveryError> {
        let done = self.try_unlock(actor, token).await;
        measures::recovered("unlock", &done);
        done
    }

    async fn try_unlock(&self, actor: &Actor, token: &Secret<String>) -> Result<(), RecoveryError> {
        let (token, user) = self.presented(token, MailPurpose::Unlock).await?;
        self.is_bound_to(&token, &user.email)?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        self.use_up(&mut tx, &token).await?;
        self.forgive(&mut tx, user.id, Forgiven::Passwords).await?;
        let event =
            AuditEvent::new(ACCOUNT_UNLOCKED).about(user.id).because("mail").by(AuditActor::user(user.id));
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::unlocked("mail");
        tracing::info!(user.id = %user.id, "unlocked by mail");
        Ok(())
    }
}
