//! Setting a new password: forgotten, changed, or because an administrator asks for it.

use saas_core::{
    Actor, Email, Permission, Principal, Role, Secret, SendMail, Tx, UserId, actor::UserPrincipal,
    audit::AuditEvent,
};

use super::{Issue, Quotas, REACH, RecoveryError, verification::about};
use crate::{
    Auth, AuthMethod, Changed, Forgiven, MailPurpose, Revocation, Tokens, Undos, User, UserStatus,
    audited::{PASSWORD_CHANGED, PASSWORD_RESET, PASSWORD_RESET_REQUESTED},
    auth::{measures, open_session::Opening},
};

impl Auth {
    /// Mails whoever has the address what sets a new password. The answer is the same for every address, and so is the work.
    pub async fn forgot_password(&self, actor: &Actor, address: &Email) -> Result<(), RecoveryError> {
        self.ask(actor, address, self.reset_quotas()).await?;
        let user = self.active(address).await?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        let token = self.issue_reset(&mut tx, address, user.as_ref()).await?;
        self.mail(&mut tx, SendMail::PasswordReset { token }).await?;
        let event = about(AuditEvent::new(PASSWORD_RESET_REQUESTED), user.as_ref()).because("forgotten");
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::recovery("password_reset", "requested");
        Ok(())
    }

    pub(super) async fn issue_reset(
        &self,
        tx: &mut Tx,
        address: &Email,
        user: Option<&User>,
    ) -> Result<uuid::Uuid, RecoveryError> {
        let lifetime = self.config.recovery.reset_lifetime;
        let issue =
            Issue { purpose: MailPurpose::PasswordReset, user, bound: address, other: None, lifetime };
        self.issue(tx, &issue).await
    }

    /// Sets a new password by the token that its user was mailed, ends every session, and tells them. What they prove besides a password
    /// they still have to prove when they sign in. A password that is not accepted leaves the token as it was.
    pub async fn reset_password(
        &self,
        actor: &Actor,
        token: &Secret<String>,
        new: &Secret<String>,
    ) -> Result<(), RecoveryError> {
        let done = self.try_reset_password(actor, token, new).await;
        measures::recovered("password_reset", &done);
        done
    }

    async fn try_reset_password(
        &self,
        actor: &Actor,
        token: &Secret<String>,
        new: &Secret<String>,
    ) -> Result<(), RecoveryError> {
        let (token, user) = self.presented(token, MailPurpose::PasswordReset).await?;
        self.is_bound_to(&token, &user.email)?;
        let hash = self.new_password(&user, new).await?;
        let now = self.now();
        let mut tx = self.ports.storage.begin(REACH).await?;
        let replaced = self.ports.users.credentials(tx.conn(), &user.email).await?;
        let replaced = replaced.and_then(|found| found.password);
        if !self.ports.users.set_password(&mut tx, user.id, Some(&hash), now).await? {
            return Err(RecoveryError::InvalidToken);
        }
        if let Some(replaced) = replaced {
            self.remember_password(&mut tx, user.id, &replaced).await?;
        }
        // The row is ours until the commit: what it says now stays so.
        let held = self.ports.users.by_id(tx.conn(), user.id).await?;
        let held = held.filter(|held| held.status == UserStatus::Active && held.email == user.email);
        held.ok_or(RecoveryError::InvalidToken)?;
        self.use_up(&mut tx, &token).await?;
        // The mail came to them: the address is theirs.
        self.ports.users.verify_email(&mut tx, user.id, &user.email, now).await?;
        self.end_given_out(&mut tx, user.id, Undos::Stay).await?;
        self.forget_guesses(&mut tx, &user).await?;
        let ended = self.ports.sessions.revoke_all(&mut tx, user.id, Revocation::PasswordReset, now).await?;
        self.note_change(&mut tx, Changed::User(user.id)).await?;
        self.ports.audit.record(&mut tx, actor, AuditEvent::new(PASSWORD_RESET).about(user.id)).await?;
        self.mail(&mut tx, SendMail::PasswordChanged { user: user.id }).await?;
        tx.commit().await?;
        measures::sessions_revoked(Revocation::PasswordReset, ended);
        tracing::info!(user.id = %user.id, sessions = ended, "password reset");
        Ok(())
    }

    /// Changes the actor's password, if they know the one they have; ends their other sessions unless they are to be kept, and tells them.
    /// The session goes on as a new one, with the tokens in the answer.
    pub async fn change_password(
        &self,
        actor: &Actor,
        current: &Secret<String>,
        new: &Secret<String>,
        keep_others: bool,
    ) -> Result<Tokens, RecoveryError> {
        let done = self.try_change_password(actor, current, new, keep_others).await;
        measures::recovered("password_change", &done);
        done
    }

    async fn try_change_password(
        &self,
        actor: &Actor,
        current: &Secret<String>,
        new: &Secret<String>,
        keep_others: bool,
    ) -> Result<Tokens, RecoveryError> {
        let (principal, user, read) = self.prove_password(actor, current, "password_change").await?;
        let hash = self.new_password(&user, new).await?;
        let now = self.now();
        let mut tx = self.ports.storage.begin(REACH).await?;
        // Whoever changed or reset it meanwhile is not overwritten.
        if !self.ports.users.replace_password(&mut tx, user.id, &read, &hash, now).await? {
            return Err(RecoveryError::Contended);
        }
        self.remember_password(&mut tx, user.id, &read).await?;
        self.end_given_out(&mut tx, user.id, Undos::Stay).await?;
        self.forget_guesses(&mut tx, &user).await?;
        let proved = self.ports.sessions.family(tx.conn(), principal.session).await?;
        let (family, _) = proved.ok_or(RecoveryError::Unauthenticated)?;
        let methods = family.session.methods.and(AuthMethod::Password);
        let ended = self.end_for_change(&mut tx, principal, keep_others).await?;
        let UserPrincipal { tenant, role, .. } = *principal;
        let opening = Opening { user: &user, tenant, role, methods };
        let opened = self.write_session(&mut tx, actor, opening).await?;
        self.note_change(&mut tx, Changed::User(user.id)).await?;
        let event = AuditEvent::new(PASSWORD_CHANGED).about(user.id);
        let event = if keep_others { event.because("sessions_kept") } else { event };
        self.ports.audit.record(&mut tx, actor, event).await?;
        self.mail(&mut tx, SendMail::PasswordChanged { user: user.id }).await?;
        tx.commit().await?;
        measures::sessions_revoked(Revocation::PasswordChange, ended);
        tracing::info!(user.id = %user.id, sessions = ended, "password changed");
        let mut tokens = self.tokens_for(&opened)?;
        tokens.device_token = self.device_token_after_forgetting(&user.email);
        Ok(tokens)
    }

    /// What was guessed at the password that is gone, and the devices that were signed in on with it, count no more.
    async fn forget_guesses(&self, tx: &mut Tx, user: &User) -> Result<(), RecoveryError> {
        self.forgive(tx, user.id, Forgiven::Passwords).await?;
        Ok(self.forget_devices(tx, user.id).await?)
    }

    /// Ends the session that asks, and the others unless they are kept. One that has ended meanwhile changes nothing.
    async fn end_for_change(
        &self,
        tx: &mut Tx,
        principal: &UserPrincipal,
        keep_others: bool,
    ) -> Result<u64, RecoveryError> {
        let (sessions, why, now) = (&self.ports.sessions, Revocation::PasswordChange, self.now());
        if !sessions.revoke(tx, principal.user, principal.session, why, now).await? {
            return Err(RecoveryError::Unauthenticated);
        }
        let others = if keep_others { 0 } else { sessions.revoke_all(tx, principal.user, why, now).await? };
        Ok(others + 1)
    }

    /// Has somebody mailed what sets a new password. Nothing changes until they use it: it is the owner of the address who sets it, never
    /// whoever asks. For operators, and for administrators of a tenant that the user is a member of in no higher role than theirs.
    pub async fn request_password_reset(&self, actor: &Actor, target: UserId) -> Result<(), RecoveryError> {
        self.may_reset(actor, target).await?;
        let user = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.users.by_id(&mut conn, target).await?.ok_or(RecoveryError::NotFound)?
        };
        if actor.user().is_some() {
            self.ask(actor, &user.email, self.reset_quotas()).await?;
        }
        let active = Some(&user).filter(|user| user.status == UserStatus::Active);
        let mut tx = self.ports.storage.begin(REACH).await?;
        let token = self.issue_reset(&mut tx, &user.email, active).await?;
        self.mail(&mut tx, SendMail::PasswordResetByAdmin { token }).await?;
        let event = AuditEvent::new(PASSWORD_RESET_REQUESTED).about(user.id).because("administrator");
        let event = event.in_tenant(actor.user().map(|user| user.tenant));
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::recovery("password_reset", "requested");
        Ok(())
    }

    async fn may_reset(&self, actor: &Actor, target: UserId) -> Result<(), RecoveryError> {
        let administrator = match &actor.principal {
            Principal::System(_) => return Ok(()),
            Principal::User(user) => user,
            _ => return Err(RecoveryError::Unauthenticated),
        };
        if administrator.role < Role::Admin || !actor.may(&Permission::SUPPORT_READ) {
            return Err(RecoveryError::Forbidden);
        }
        let mut conn = self.ports.storage.read(REACH).await?;
        let standing = self.ports.memberships.standing(&mut conn, target, administrator.tenant).await?;
        // Whoever is in another tenant is nobody here.
        let standing = standing.ok_or(RecoveryError::NotFound)?;
        if standing.role > administrator.role { Err(RecoveryError::Forbidden) } else { Ok(()) }
    }

    const fn reset_quotas(&self) -> Quotas {
        let rules = &self.config.recovery;
        Quotas::an_hour("password_reset", rules.resets_per_address, rules.resets_per_network)
    }
}
