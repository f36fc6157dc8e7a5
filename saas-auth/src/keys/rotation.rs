//! What becomes of a key: next, active, retired, gone. One step at a time, each a new [`KeySet`] from the old one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_core::Entropy;
use serde::{Deserialize, Serialize};

use super::{Dated, KeySet, Retired, SigningKey};

/// Where a signing key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyStatus {
    /// Published, so that every verifier has it before it signs.
    Next,
    /// Signs.
    Active,
    /// Verifies what it signed; its private part is destroyed.
    Retired,
}

impl KeyStatus {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// What may be known of a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigningKeyInfo {
    /// Its name: the public key's thumbprint.
    pub kid: String,
    /// Where it is in its life.
    pub status: KeyStatus,
    /// When it was made and published.
    pub created_at: DateTime<Utc>,
    /// When it began to sign, if it has; not known of what an earlier version retired.
    pub activated_at: Option<DateTime<Utc>>,
    /// When it stopped signing, if it has; it verifies for [`KeySet::RETIREMENT`] longer.
    pub retired_at: Option<DateTime<Utc>>,
}

/// One step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RotationStep {
    /// A new key is made and published, as the next.
    Publish,
    /// The next key becomes the active one, and the active one is retired.
    Promote,
    /// Every key is dropped at once, and a new one signs.
    Revoke,
}

impl RotationStep {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Promote => "promote",
            Self::Revoke => "revoke",
        }
    }
}

/// The step that comes next may not be made yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotDue {
    pub(crate) step: RotationStep,
    pub(crate) due_at: DateTime<Utc>,
}

impl KeySet {
    /// A set with one new key, which is active.
    pub(crate) fn fresh(now: DateTime<Utc>, entropy: &dyn Entropy) -> Self {
        Self::assemble(Dated::new(now, entropy), None, Vec::new(), now)
    }

    /// The step that comes next, and from when on; that may be past. There is one rotation at a time: the next one begins when the keys
    /// that the last one retired are over, so that of several who ask for a step at one moment only one makes it.
    pub(crate) fn next_step(
        &self,
        publish_delay: Duration,
        now: DateTime<Utc>,
    ) -> (RotationStep, DateTime<Utc>) {
        match &self.next {
            Some(next) => {
                let delay = publish_delay.max(Self::MIN_PUBLISH_DELAY);
                (RotationStep::Promote, next.created_at + delay)
            }
            None => (RotationStep::Publish, self.retired.iter().map(Retired::ends_at).max().unwrap_or(now)),
        }
    }

    /// The set after the step that comes next.
    pub(crate) fn rotated(
        self,
        publish_delay: Duration,
        now: DateTime<Utc>,
        entropy: &dyn Entropy,
    ) -> Result<(Self, RotationStep), NotDue> {
        let (step, due_at) = self.next_step(publish_delay, now);
        if now < due_at {
            return Err(NotDue { step, due_at });
        }
        let Self { active, next, mut retired, .. } = self.without_ended(now);
        let changed = match next {
            None => Self::assemble(active, Some(Dated::new(now, entropy)), retired, now),
            Some(next) => {
                retired.push(active.retired(now));
                Self::assemble(Dated { since: now, ..next }, None, retired, now)
            }
        };
        Ok((changed, step))
    }

    /// Whether a retired key is still there whose time is over.
    pub(crate) fn has_ended(&self, now: DateTime<Utc>) -> bool {
        self.retired.iter().any(|old| old.ends_at() <= now)
    }

    /// The set without the retired keys whose time is over; every replica gets the same one.
    pub(super) fn without_ended(self, now: DateTime<Utc>) -> Self {
        if !self.has_ended(now) {
            return self;
        }
        let Self { active, next, retired, changed_at, version, .. } = self;
        let (ended, retired): (Vec<_>, Vec<_>) = retired.into_iter().partition(|old| old.ends_at() <= now);
        let changed_at = ended.iter().map(Retired::ends_at).fold(changed_at, DateTime::max);
        Self::assemble(active, next, retired, changed_at).at_version(version)
    }

    /// The keys in the order of their lives; of the retired ones the latest first.
    pub(crate) fn infos(&self) -> Vec<SigningKeyInfo> {
        let next = self.next.iter().map(|next| next.info(KeyStatus::Next, None));
        let active = self.active.info(KeyStatus::Active, Some(self.active.since));
        let mut retired: Vec<_> = self.retired.iter().map(Retired::info).collect();
        retired.sort_by_key(|old| std::cmp::Reverse(old.retired_at));
        next.chain([active]).chain(retired).collect()
    }
}

impl Dated {
    fn new(now: DateTime<Utc>, entropy: &dyn Entropy) -> Self {
        Self { key: SigningKey::generate(entropy), created_at: now, since: now }
    }

    /// The end of an active key's private part.
    pub(super) fn retired(self, now: DateTime<Utc>) -> Retired {
        Retired {
            key: self.key.verifying().clone(),
            created_at: self.created_at,
            activated_at: Some(self.since),
            since: now,
        }
    }

    fn info(&self, status: KeyStatus, activated_at: Option<DateTime<Utc>>) -> SigningKeyInfo {
        let kid = self.key.kid().to_owned();
        SigningKeyInfo { kid, status, created_at: self.created_at, activated_at, retired_at: None }
    }
}

impl Retired {
    /// From when on it does not verify.
    pub(super) fn ends_at(&self) -> DateTime<Utc> {
        self.since + KeySet::RETIREMENT
    }

    fn info(&self) -> SigningKeyInfo {
        SigningKeyInfo {
            kid: self.key.kid().to_owned(),
            status: KeyStatus::Retired,
            created_at: self.created_at,
            activated_at: self.activated_at,
            retired_at: Some(self.since),
        }
    }
}

#[cfg(test)]
mod tests {
    use saas_core::{Clock, StoredSecret, clock::ManualClock, entropy::SeededEntropy};

    use super::*;

    const DELAY: Duration = Duration::from_secs(310);
    const INSTANT: Duration = Duration::from_micros(1);

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn start() -> (KeySet, DateTime<Utc>, SeededEntropy) {
        let (now, entropy) = (ManualClock::default().now(), SeededEntropy::new(1));
        (KeySet::fresh(now, &entropy), now, entropy)
    }

    fn step(
        set: KeySet,
        now: DateTime<Utc>,
        entropy: &SeededEntropy,
        expected: RotationStep,
    ) -> Result<KeySet, String> {
        match set.rotated(DELAY, now, entropy) {
            Ok((changed, step)) if step == expected => Ok(changed),
            other => Err(format!("{other:?}")),
        }
    }

    fn statuses(set: &KeySet) -> Vec<(String, KeyStatus)> {
        set.infos().into_iter().map(|key| (key.kid, key.status)).collect()
    }

    /// Reads what was written, as another replica does.
    fn stored(set: &KeySet, now: DateTime<Utc>) -> Result<KeySet, super::super::KeySetError> {
        KeySet::from_stored(&StoredSecret { value: set.to_bytes()?, version: 7 }, now)
    }

    #[test]
    fn a_key_is_next_then_active_then_retired_then_gone() -> Outcome {
        let (set, began, entropy) = start();
        let first = set.active().kid().to_owned();
        assert_eq!(statuses(&set), [(first.clone(), KeyStatus::Active)]);

        let set = step(set, began, &entropy, RotationStep::Publish)?;
        let second = set.infos()[0].kid.clone();
        assert_eq!(statuses(&set), [(second.clone(), KeyStatus::Next), (first.clone(), KeyStatus::Active)]);
        assert_eq!(set.active().kid(), first);

        let turned = began + DELAY;
        let set = step(stored(&set, turned)?, turned, &entropy, RotationStep::Promote)?;
        assert_eq!(
            statuses(&set),
            [(second.clone(), KeyStatus::Active), (first.clone(), KeyStatus::Retired)]
        );
        let retired = &set.infos()[1];
        assert_eq!((retired.activated_at, retired.retired_at), (Some(began), Some(turned)));
        assert_eq!((set.infos()[0].created_at, set.infos()[0].activated_at), (began, Some(turned)));

        let over = turned + KeySet::RETIREMENT;
        let set = step(stored(&set, over)?, over, &entropy, RotationStep::Publish)?;
        assert_eq!(set.infos()[1].kid, second);
        assert_eq!(set.infos().len(), 2);
        assert!(!String::from_utf8_lossy(set.to_bytes()?.expose()).contains(&first));
        Ok(())
    }

    #[test]
    fn no_step_is_made_before_its_time() -> Outcome {
        let (set, began, entropy) = start();
        let set = step(set, began, &entropy, RotationStep::Publish)?;
        let due_at = began + DELAY;
        let early = stored(&set, began)?.rotated(DELAY, due_at - INSTANT, &entropy);
        assert_eq!(early.err(), Some(NotDue { step: RotationStep::Promote, due_at }));

        let set = step(set, due_at, &entropy, RotationStep::Promote)?;
        let over = due_at + KeySet::RETIREMENT;
        let early = stored(&set, due_at)?.rotated(DELAY, over - INSTANT, &entropy);
        assert_eq!(early.err(), Some(NotDue { step: RotationStep::Publish, due_at: over }));
        step(set, over, &entropy, RotationStep::Publish)?;
        Ok(())
    }

    #[test]
    fn a_key_is_published_for_longer_than_replicas_take_to_reload() -> Outcome {
        let (set, began, entropy) = start();
        let set = step(set, began, &entropy, RotationStep::Publish)?;
        let (_, due_at) = set.next_step(Duration::ZERO, began);
        assert_eq!(due_at, began + KeySet::MIN_PUBLISH_DELAY);
        assert!(KeySet::MIN_PUBLISH_DELAY > KeySet::RELOAD_INTERVAL * 2);
        Ok(())
    }

    #[test]
    fn a_retired_key_verifies_until_its_time_and_is_published_no_longer() -> Outcome {
        let (set, began, entropy) = start();
        let kid = set.active().kid().to_owned();
        let set = step(set, began, &entropy, RotationStep::Publish)?;
        let turned = began + DELAY;
        let set = step(set, turned, &entropy, RotationStep::Promote)?;

        let over = turned + KeySet::RETIREMENT;
        assert!(set.verifying(&kid, over - INSTANT).is_some() && !set.has_ended(over - INSTANT));
        assert!(set.verifying(&kid, over).is_none() && set.has_ended(over));
        let before = stored(&set, over - INSTANT)?;
        assert_eq!(before.jwks(), set.jwks());
        let (after, later) = (stored(&set, over)?, stored(&set, over + DELAY)?);
        assert!(!String::from_utf8_lossy(after.jwks().body()).contains(&kid));
        assert_eq!(after.jwks(), later.jwks(), "whenever a replica looks, it publishes the same");
        assert!(after.jwks().last_modified() > before.jwks().last_modified());
        assert_eq!(after.version(), 7);
        Ok(())
    }

    #[test]
    fn a_retired_key_keeps_no_private_part() -> Outcome {
        let (set, began, entropy) = start();
        let set = step(set, began, &entropy, RotationStep::Publish)?;
        let set = step(set, began + DELAY, &entropy, RotationStep::Promote)?;
        let document: serde_json::Value = serde_json::from_slice(set.to_bytes()?.expose())?;
        let seeds: Vec<_> =
            document["keys"].as_array().into_iter().flatten().map(|key| &key["seed"]).collect();
        assert!(seeds[0].is_string() && seeds[1].is_null() && seeds.len() == 2, "{seeds:?}");
        assert_eq!(document["keys"][1]["activated_at"], document["keys"][1]["created_at"]);
        Ok(())
    }

    #[test]
    fn a_status_and_a_step_are_written_as_they_are_called() -> Outcome {
        for status in [KeyStatus::Next, KeyStatus::Active, KeyStatus::Retired] {
            assert_eq!(serde_json::to_string(&status)?, format!("\"{}\"", status.as_str()));
        }
        let steps = [RotationStep::Publish, RotationStep::Promote, RotationStep::Revoke];
        assert_eq!(steps.map(RotationStep::as_str), ["publish", "promote", "revoke"]);
        Ok(())
    }
}
