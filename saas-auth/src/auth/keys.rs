//! The signing keys: showing them, rotating them, and hearing of it when another process does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use saas_core::{
    Actor, ErrorKind, Fault, Principal, Report, StoreError, StoredSecret,
    audit::{AuditEvent, AuditSubject, ReplaceSecretError},
};

use super::Auth;
use crate::{
    audited::SIGNING_KEYS_ROTATED,
    keys::{KeySet, KeySetError, NotDue, RotationStep, SigningKeyInfo},
    token::{AccessClaims, TokenError},
};

/// How often a step is tried again when another process changed the keys meanwhile.
const ATTEMPTS: usize = 8;

/// What a rotation did, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotationReport {
    /// The step that was made.
    pub done: RotationStep,
    /// The step that comes next.
    pub next: RotationStep,
    /// From when on it may be made; when that is not later than now, it may be made whenever you like.
    pub next_due_at: DateTime<Utc>,
    /// The keys as they are now: next, active, retired.
    pub keys: Vec<SigningKeyInfo>,
}

/// Why the keys were not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeysError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// The keys could not be read.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

/// Why the keys were not rotated. But for [`RotateKeysError::Unrecorded`] they are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateKeysError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// It is too early for the step that comes next.
    #[error("the step `{}` is due at {}", step.as_str(), due_at.to_rfc3339_opts(SecondsFormat::AutoSi, true))]
    NotDue {
        /// The step.
        step: RotationStep,
        /// When it is due.
        due_at: DateTime<Utc>,
    },
    /// Others changed the keys again and again.
    #[error("others change the signing keys at the same time: look at them before you try again")]
    Contended,
    /// The storage failed; the keys are what they were.
    #[error(transparent)]
    Store(StoreError),
    /// The keys are kept elsewhere and were changed, and the audit log could not be told.
    #[error(
        "the signing keys were changed, and the audit log could not be written: look at them, and note it down"
    )]
    Unrecorded(#[source] StoreError),
    /// The keys could not be read or written.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl Fault for SigningKeysError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::Keys(_) => Report::internal(),
        }
    }
}

impl Fault for RotateKeysError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotDue { .. } => Report::new(ErrorKind::Conflict, "key_rotation_not_due"),
            Self::Contended => Report::new(ErrorKind::Unavailable, "key_rotation_contended"),
            Self::Unrecorded(_) => Report::new(ErrorKind::Unavailable, "key_rotation_unrecorded"),
            Self::Store(error) => error.report(),
            Self::Keys(_) => Report::internal(),
        }
    }
}

impl From<NotDue> for RotateKeysError {
    fn from(NotDue { step, due_at }: NotDue) -> Self {
        Self::NotDue { step, due_at }
    }
}

impl Auth {
    /// The signing keys that verify now, as they are stored: next, active, retired. For operators.
    pub async fn signing_keys(&self, actor: &Actor) -> Result<Vec<SigningKeyInfo>, SigningKeysError> {
        if !is_operator(actor) {
            return Err(SigningKeysError::Forbidden);
        }
        let stored = self.stored_keys().await?;
        Ok(KeySet::from_stored(&stored, self.now())?.infos())
    }

    /// Makes the step of a rotation that is due, and tells which is next and when. For operators.
    ///
    /// A rotation is two steps: a new key is published, and once every verifier has it, it is promoted and the active one retired. Call
    /// this for the first, and again when the second is due ([`AuthConfig::key_publish_delay`](crate::AuthConfig::key_publish_delay));
    /// the next rotation may begin when the retired key is over ([`KeySet::RETIREMENT`]). No token is refused on the way. Of several
    /// processes that call it at once one makes the step, and the others are told when the one after it is due.
    pub async fn rotate_signing_keys(&self, actor: &Actor) -> Result<RotationReport, RotateKeysError> {
        self.change_keys(actor, |keys, now| {
            Ok(keys.rotated(self.config.key_publish_delay, now, &*self.ports.entropy)?)
        })
        .await
    }

    /// Drops every signing key and signs with a new one, at once: for when a key may have leaked. For operators.
    ///
    /// Every access token that was made so far is refused: here at once, by the other replicas when they reload
    /// ([`KeySet::RELOAD_INTERVAL`]), and by whoever verifies by a cached JWKS when the cache is over. Sessions go on: clients refresh.
    /// A next key goes as well, for whoever read one key could read them all.
    pub async fn revoke_signing_keys(&self, actor: &Actor) -> Result<RotationReport, RotateKeysError> {
        self.change_keys(actor, |_, now| Ok((KeySet::fresh(now, &*self.ports.entropy), RotationStep::Revoke)))
            .await
    }

    /// Takes over what another process did to the keys, and drops the retired ones whose time is over; `false` when nothing has changed.
    ///
    /// For hosts, every [`KeySet::RELOAD_INTERVAL`]. It costs one read by name while nothing changes.
    pub async fn reload_signing_keys(&self) -> Result<bool, KeySetError> {
        let stored = self.stored_keys().await?;
        let (held, now) = (self.tokens.keys(), self.now());
        if stored.version <= held.version() && !held.has_ended(now) {
            return Ok(false);
        }
        self.tokens.replace_keys(KeySet::from_stored(&stored, now)?);
        Ok(true)
    }

    /// Whether the key that tokens are signed with is still kept where every replica finds it.
    pub async fn signing_key_is_kept(&self) -> bool {
        let kept = match self.stored_keys().await {
            Ok(stored) => KeySet::from_bytes(stored.value.expose()),
            Err(error) => Err(error),
        };
        match kept {
            Ok(kept) => kept.verifying(self.tokens.keys().active().kid(), self.now()).is_some(),
            Err(error) => {
                tracing::warn!(error = saas_core::fault::chain(&error), "the signing keys cannot be read");
                false
            }
        }
    }

    /// Verifies a token. One of an unknown key may be of a key that this process has not heard of yet: it looks, but not more than once
    /// a second, for anybody can make up a key's name.
    pub(super) async fn verify(&self, token: &str) -> Result<(AccessClaims, Arc<str>), TokenError> {
        let verified = self.tokens.verify_naming_key(token);
        if !matches!(verified, Err(TokenError::UnknownKey))
            || !self.unknown_keys.lets_pass(self.ports.clock.monotonic())
        {
            return verified;
        }
        match self.reload_signing_keys().await {
            Ok(_) => self.tokens.verify_naming_key(token),
            Err(error) => {
                tracing::warn!(
                    error = saas_core::fault::chain(&error),
                    "the signing keys could not be reloaded"
                );
                verified
            }
        }
    }

    /// One step, by compare-and-swap: who loses decides again by what the winner stored.
    async fn change_keys(
        &self,
        actor: &Actor,
        change: impl Fn(KeySet, DateTime<Utc>) -> Result<(KeySet, RotationStep), RotateKeysError> + Send + Sync,
    ) -> Result<RotationReport, RotateKeysError> {
        let Principal::System(who) = actor.principal else { return Err(RotateKeysError::Forbidden) };
        for _ in 0..ATTEMPTS {
            let (stored, now) = (self.stored_keys().await?, self.now());
            let (changed, done) = change(KeySet::from_stored(&stored, now)?, now)?;
            let document = changed.to_bytes()?;
            let event = AuditEvent::new(SIGNING_KEYS_ROTATED)
                .about(AuditSubject::new("signing_key", changed.active().kid()))
                .because(done.as_str());
            let (secrets, at) = (&*self.ports.secrets, (KeySet::SECRET_NAME, stored.version));
            let recorded = match self.ports.audit.replace_secret(actor, secrets, at, &document, event).await {
                Ok(true) => Ok(()),
                Ok(false) => continue,
                Err(ReplaceSecretError::Secrets(error)) => return Err(KeySetError::from(error).into()),
                Err(ReplaceSecretError::Store(error)) => return Err(RotateKeysError::Store(error)),
                // The keys are changed all the same: they are kept where no transaction of the storage reaches.
                Err(ReplaceSecretError::Unrecorded(error)) => Err(RotateKeysError::Unrecorded(error)),
            };
            let (next, next_due_at) = changed.next_step(self.config.key_publish_delay, now);
            let keys = changed.infos();
            tracing::info!(
                by = who,
                key.id = changed.active().kid(),
                step = done.as_str(),
                "signing keys rotated"
            );
            self.tokens.replace_keys(changed.at_version(stored.version + 1));
            return recorded.map(|()| RotationReport { done, next, next_due_at, keys });
        }
        Err(RotateKeysError::Contended)
    }

    async fn stored_keys(&self) -> Result<StoredSecret, KeySetError> {
        self.ports.secrets.get(KeySet::SECRET_NAME).await?.ok_or(KeySetError::Gone)
    }
}

/// Whether it is the product itself, or whoever holds its console.
pub(super) const fn is_operator(actor: &Actor) -> bool {
    matches!(actor.principal, Principal::System(_))
}

/// Lets one pass a second.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// In milliseconds of the monotonic clock.
    opens: AtomicU64,
}

impl Throttle {
    const CLOSED: u64 = 1_000;

    fn lets_pass(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let opens = self.opens.load(Ordering::Relaxed);
        let next = now.saturating_add(Self::CLOSED);
        now >= opens && self.opens.compare_exchange(opens, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_a_second() {
        let throttle = Throttle::default();
        for (millis, passes) in
            [(0, true), (0, false), (999, false), (1_000, true), (1_999, false), (9_000, true)]
        {
            assert_eq!(throttle.lets_pass(Duration::from_millis(millis)), passes, "at {millis} ms");
        }
    }

    #[test]
    fn the_faults_have_their_codes_and_say_when() {
        let due_at = DateTime::UNIX_EPOCH + Duration::from_micros(1);
        let early = RotateKeysError::from(NotDue { step: RotationStep::Promote, due_at });
        assert_eq!(early.report(), Report::new(ErrorKind::Conflict, "key_rotation_not_due"));
        assert_eq!(early.to_string(), "the step `promote` is due at 1970-01-01T00:00:00.000001Z");
        assert_eq!(RotateKeysError::Contended.report().code, "key_rotation_contended");
        assert_eq!(RotateKeysError::Forbidden.report().kind, ErrorKind::Forbidden);
        assert_eq!(SigningKeysError::Forbidden.report().kind, ErrorKind::Forbidden);
        assert_eq!(SigningKeysError::from(KeySetError::Gone).report(), Report::internal());
    }
}
