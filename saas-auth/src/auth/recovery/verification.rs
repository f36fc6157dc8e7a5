//! Proving that an address is one's own.

use saas_core::{Actor, Email, InternalError, Secret, SendMail, Tx, audit::AuditEvent};

use super::{Issue, Quotas, REACH, RecoveryError};
use crate::{
    Auth, Changed, InsertError, MailPurpose, User, UserStatus,
    audited::{EMAIL_VERIFICATION_REQUESTED, EMAIL_VERIFIED, REGISTRATION_REPEATED},
    auth::measures,
};

impl Auth {
    /// Mails the signed-in user what proves their address; `false` when it is proved already, and nothing is mailed.
    pub async fn send_verification(&self, actor: &Actor) -> Result<bool, RecoveryError> {
        let principal = actor.user().ok_or(RecoveryError::Unauthenticated)?;
        let user = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.users.by_id(&mut conn, principal.user).await?.ok_or(RecoveryError::Unauthenticated)?
        };
        if user.email_verified_at.is_some() {
            return Ok(false);
        }
        self.ask(actor, &user.email, self.verification_quotas()).await?;
        self.begin_verification(actor, &user.email, Some(&user)).await?;
        Ok(true)
    }

    /// Mails whoever has the address, and has not proved it yet, what proves it. The answer is the same for every address, and so is the
    /// work.
    pub async fn send_verification_to(&self, actor: &Actor, address: &Email) -> Result<(), RecoveryError> {
        self.ask(actor, address, self.verification_quotas()).await?;
        let user = self.active(address).await?;
        let user = user.filter(|user| user.email_verified_at.is_none());
        self.begin_verification(actor, address, user.as_ref()).await
    }

    async fn begin_verification(
        &self,
        actor: &Actor,
        address: &Email,
        user: Option<&User>,
    ) -> Result<(), RecoveryError> {
        let mut tx = self.ports.storage.begin(REACH).await?;
        self.begin_verification_in(&mut tx, actor, address, user).await?;
        tx.commit().await?;
        measures::recovery("verification", "requested");
        Ok(())
    }

    async fn begin_verification_in(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        address: &Email,
        user: Option<&User>,
    ) -> Result<(), RecoveryError> {
        let lifetime = self.config.recovery.verification_lifetime;
        let issue = Issue { purpose: MailPurpose::VerifyEmail, user, bound: address, other: None, lifetime };
        let token = self.issue(tx, &issue).await?;
        self.mail(tx, SendMail::VerifyEmail { token }).await?;
        let event = about(AuditEvent::new(EMAIL_VERIFICATION_REQUESTED), user);
        self.ports.audit.record(tx, actor, event).await?;
        Ok(())
    }

    /// Leaves the mail that proves a new user's address behind in the transaction that registers them.
    pub async fn begin_verification_of(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        user: &User,
    ) -> Result<(), InsertError> {
        self.begin_verification_in(tx, actor, &user.email, Some(user)).await.map_err(to_insert)
    }

    /// Tells the user of an address, in the caller's transaction, that somebody tried to register with it.
    pub async fn tell_already_registered(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        address: &Email,
    ) -> Result<(), InsertError> {
        // Who was deleted a moment ago is told nothing.
        let Some(found) = self.ports.users.credentials(tx.conn(), address).await? else { return Ok(()) };
        let user = found.user;
        self.mail(tx, SendMail::AlreadyRegistered { user: user.id }).await.map_err(to_insert)?;
        self.ports.audit.record(tx, actor, AuditEvent::new(REGISTRATION_REPEATED).about(user.id)).await?;
        Ok(())
    }

    /// Takes an address for its user's, by the token that they were mailed. Sessions go on, and know it at once.
    pub async fn verify_email(&self, actor: &Actor, token: &Secret<String>) -> Result<(), RecoveryError> {
        let done = self.try_verify_email(actor, token).await;
        measures::recovered("verification", &done);
        done
    }

    async fn try_verify_email(&self, actor: &Actor, token: &Secret<String>) -> Result<(), RecoveryError> {
        let (token, user) = self.presented(token, MailPurpose::VerifyEmail).await?;
        self.is_bound_to(&token, &user.email)?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        if !self.ports.users.verify_email(&mut tx, user.id, &user.email, self.now()).await? {
            return Err(RecoveryError::InvalidToken);
        }
        self.use_up(&mut tx, &token).await?;
        self.note_change(&mut tx, Changed::User(user.id)).await?;
        self.ports.audit.record(&mut tx, actor, AuditEvent::new(EMAIL_VERIFIED).about(user.id)).await?;
        tx.commit().await?;
        tracing::info!(user.id = %user.id, "the address is proved");
        Ok(())
    }

    /// The user of an address, if they may sign in.
    pub(super) async fn active(&self, address: &Email) -> Result<Option<User>, RecoveryError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        let found = self.ports.users.credentials(&mut conn, address).await?;
        Ok(found.map(|found| found.user).filter(|user| user.status == UserStatus::Active))
    }

    const fn verification_quotas(&self) -> Quotas {
        let rules = &self.config.recovery;
        Quotas::an_hour(
            "email_verification",
            rules.verifications_per_address,
            rules.verifications_per_network,
        )
    }
}

/// About the user, if there is one: of nobody nothing is known, not even what they would be called.
pub(super) fn about(event: AuditEvent, user: Option<&User>) -> AuditEvent {
    match user {
        Some(user) => event.about(user.id),
        None => event,
    }
}

fn to_insert(error: RecoveryError) -> InsertError {
    match error {
        RecoveryError::Store(error) => InsertError::Store(error),
        other => InsertError::Store(saas_core::StoreError::Backend(Box::new(InternalError::new(other)))),
    }
}
