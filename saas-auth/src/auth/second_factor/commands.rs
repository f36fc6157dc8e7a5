//! What users do with their own second factor.

use metrics::counter;
use saas_core::{
    Actor, InternalError, Secret, SendMail, Tx, UserId, actor::UserPrincipal, audit::AuditEvent,
};

use super::{AddedFactor, REACH, SecondFactorError, SecondFactorState, TotpEnrolment};
use crate::{
    Auth, AuthMethod, Factor, RecoveryCode, TotpCode, TotpSeed,
    audited::{FACTOR_ADDED, FACTOR_BEGUN, FACTOR_REMOVED, RECOVERY_CODES_REPLACED},
    auth::StepUpRequired,
};

impl Auth {
    /// What the actor's second factor is like.
    pub async fn second_factor(&self, actor: &Actor) -> Result<SecondFactorState, SecondFactorError> {
        let user = signed_in(actor)?;
        self.state_of(user.user, self.config.second_factor.requires(user.role)).await
    }

    pub(super) async fn state_of(
        &self,
        user: UserId,
        required: bool,
    ) -> Result<SecondFactorState, SecondFactorError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        let factor = self.second_factor_of(&mut conn, user).await?;
        let left = self.ports.second_factors.codes_left(&mut conn, user).await?;
        Ok(SecondFactorState {
            enrolled_at: factor.and_then(|factor| factor.confirmed_at),
            recovery_codes_left: left,
            required,
        })
    }

    /// Begins to add an authenticator app: it counts for nothing until [`Auth::confirm_totp`] gets its first code. Who begins again gets
    /// another seed, and the one before it is gone.
    pub async fn enrol_totp(&self, actor: &Actor) -> Result<TotpEnrolment, SecondFactorError> {
        let user = self.stepped_up(actor).await?;
        let (seed, id) = (TotpSeed::generate(&*self.ports.entropy), user.user.as_uuid());
        let sealed = self.ports.fields.seal(Factor::seed_field(id.as_bytes()), seed.expose());
        let sealed = sealed.ok_or_else(|| InternalError::new("the seed could not be encrypted"))?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        let account =
            self.ports.users.by_id(tx.conn(), user.user).await?.ok_or(SecondFactorError::SessionEnded)?;
        if !self.ports.second_factors.begin(&mut tx, user.user, &sealed, self.now()).await? {
            return Err(SecondFactorError::AlreadyEnrolled);
        }
        self.ports.audit.record(&mut tx, actor, AuditEvent::new(FACTOR_BEGUN).about(user.user)).await?;
        tx.commit().await?;
        let uri = seed.to_uri(&self.config.totp_issuer, account.email.shown());
        Ok(TotpEnrolment { secret: seed.to_base32(), uri })
    }

    /// Adds the authenticator app that was begun, by its first code. The session counts as one with a second factor from now on.
    pub async fn confirm_totp(
        &self,
        actor: &Actor,
        code: &TotpCode,
    ) -> Result<AddedFactor, SecondFactorError> {
        let (user, now) = (signed_in(actor)?, self.now());
        let begun = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.second_factors.factor(&mut conn, user.user).await?
        };
        let begun = begun.ok_or(SecondFactorError::NotBegun)?;
        if begun.confirmed_at.is_some() {
            return Err(SecondFactorError::AlreadyEnrolled);
        }
        let step = self.seed(&begun)?.matching_step(code, now)?.ok_or(SecondFactorError::InvalidCode)?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        if !self.ports.second_factors.confirm(&mut tx, user.user, begun.created_at, step, now).await? {
            return Err(SecondFactorError::NotBegun);
        }
        let recovery_codes = self.new_codes(&mut tx, user.user).await?;
        let renewed = self.renew_session(&mut tx, user, AuthMethod::Otp).await?;
        let renewed = renewed.ok_or(SecondFactorError::SessionEnded)?;
        self.ports.audit.record(&mut tx, actor, AuditEvent::new(FACTOR_ADDED).about(user.user)).await?;
        self.tell(&mut tx, &SendMail::FactorAdded { user: user.user }).await?;
        tx.commit().await?;
        counter!("saas_second_factors_total", "change" => "added").increment(1);
        tracing::info!(user.id = %user.user, "second factor added");
        Ok(AddedFactor { recovery_codes, tokens: self.tokens_for(&renewed)? })
    }

    /// New recovery codes; those before them are good for nothing any more.
    pub async fn replace_recovery_codes(
        &self,
        actor: &Actor,
    ) -> Result<Vec<Secret<String>>, SecondFactorError> {
        let user = self.stepped_up(actor).await?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        if self.second_factor_of(tx.conn(), user.user).await?.is_none() {
            return Err(SecondFactorError::NotEnrolled);
        }
        let codes = self.new_codes(&mut tx, user.user).await?;
        self.ports
            .audit
            .record(&mut tx, actor, AuditEvent::new(RECOVERY_CODES_REPLACED).about(user.user))
            .await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// Removes the actor's second factor and recovery codes, or the app that they began to add.
    pub async fn remove_totp(&self, actor: &Actor) -> Result<(), SecondFactorError> {
        let user = self.stepped_up(actor).await?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        self.take_away(&mut tx, actor, user.user).await?;
        tx.commit().await?;
        counter!("saas_second_factors_total", "change" => "removed").increment(1);
        tracing::info!(user.id = %user.user, "second factor removed");
        Ok(())
    }

    /// Removes it and tells its owner, if it counted.
    pub(super) async fn take_away(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        user: UserId,
    ) -> Result<(), SecondFactorError> {
        let removed =
            self.ports.second_factors.remove(tx, user).await?.ok_or(SecondFactorError::NotEnrolled)?;
        self.forget_code_guesses(tx, user).await?;
        self.ports.audit.record(tx, actor, AuditEvent::new(FACTOR_REMOVED).about(user)).await?;
        if removed.confirmed_at.is_some() {
            self.tell(tx, &SendMail::FactorRemoved { user }).await?;
        }
        Ok(())
    }

    async fn stepped_up<'a>(&self, actor: &'a Actor) -> Result<&'a UserPrincipal, SecondFactorError> {
        self.require_step_up(actor, self.config.step_up_max_age).await?;
        signed_in(actor)
    }

    async fn new_codes(&self, tx: &mut Tx, user: UserId) -> Result<Vec<Secret<String>>, SecondFactorError> {
        let codes = std::array::from_fn::<_, { RecoveryCode::COUNT }, _>(|_| {
            RecoveryCode::generate(&*self.ports.entropy)
        });
        let hashes = codes.iter().map(|code| self.second_factor_keys.code_hash(user, code));
        let hashes = hashes.collect::<Result<Vec<_>, _>>()?;
        self.ports.second_factors.replace_codes(tx, user, &hashes, self.now()).await?;
        Ok(codes.iter().map(RecoveryCode::shown).collect())
    }
}

fn signed_in(actor: &Actor) -> Result<&UserPrincipal, SecondFactorError> {
    actor.user().ok_or(SecondFactorError::StepUp(StepUpRequired::Unauthenticated))
}
