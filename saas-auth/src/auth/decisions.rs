//! What requests were decided by, kept for a moment: verifying a signature costs more than all the rest of a small request.
//!
//! An entry belongs to one token, by the SHA-256 of its signature and the text that is signed, and holds the verified claims and what the storage said of session, user and membership.
//! The latter counts for [`Decisions::max_age`] at most, and no longer than its stamp: whoever changes something about a user moves the
//! user's mark, and every entry that was read before it is void, with no moment in between.
//!
//! What is still used when half of its time is over is noted for [`Auth::renew_decisions`](super::Auth::renew_decisions), which asks for
//! all of it at once.

use std::{
    collections::VecDeque,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;
use saas_core::{Clock, Permissions, UserId, actor::UserPrincipal};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::view::View;
use crate::{Changed, User, token::AccessClaims};

/// How many tokens are remembered, some 3 KiB each.
const CAPACITY: usize = 16_384;

/// How long the signed part of most tokens is, at most; a longer one is kept elsewhere.
const SIGNED: usize = 768;

/// How many sets of permissions are shared.
const SETS: usize = 16;

/// How many marks users share. Two users with one mark only cost each other a read.
const MARKS: usize = 1_024;

/// The SHA-256 of a token's signature.
pub(super) type Signature = [u8; 32];

/// A token as it came. What makes it a credential is its signature, which is kept as a hash alone; the signed text is nobody's secret,
/// and comparing it costs less than hashing it.
#[derive(Clone, Copy)]
pub(super) struct Presented<'a> {
    text: &'a str,
    signed: &'a str,
    signature: Signature,
}

impl<'a> Presented<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let (signed, signature) = text.rsplit_once('.').unwrap_or(("", text));
        Self { text, signed, signature: Sha256::digest(signature.as_bytes()).into() }
    }

    /// A cookie, which is a credential as a whole; no token's hash is the same.
    pub(super) fn cookie(text: &'a str) -> Self {
        let signature = Sha256::new().chain_update(b"cookie\0").chain_update(text).finalize().into();
        Self { text, signed: "", signature }
    }

    /// The whole token.
    pub(super) const fn text(&self) -> &'a str {
        self.text
    }

    /// What is signed: its header and its claims.
    pub(super) const fn signed(&self) -> &'a str {
        self.signed
    }
}

/// A token whose signature was verified.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    /// What the token's signature is for: kept in place, for where a thousand tokens come in turn each place to look costs a cache miss.
    pub(super) signed: SmallVec<[u8; SIGNED]>,
    /// Its claims; their times are checked each time.
    pub(super) claims: AccessClaims,
    /// The same, as JSON.
    pub(super) claims_json: Box<RawValue>,
    /// The key that signed it; whether it still verifies is looked up each time.
    pub(super) kid: Arc<str>,
}

/// A verified token and what was decided by it.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) token: Verified,
    /// Who asks, as the storage had it.
    pub(super) principal: Arc<UserPrincipal>,
    /// Their profile, as the storage had it.
    pub(super) user: User,
    /// When the session ends by itself.
    pub(super) expires_at: DateTime<Utc>,
    pub(super) asked: Asked,
    /// Whether it was noted that somebody uses it though it grows old.
    pub(super) noted: AtomicBool,
    /// What a host showed of it.
    pub(super) view: View,
}

/// When the storage was asked. To be taken before it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    stamp: Stamp,
    /// By the monotonic clock and by the other one.
    at: Duration,
    on: DateTime<Utc>,
}

/// What the marks were when the storage was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    everybody: u64,
    /// Which mark is the user's.
    index: usize,
    user: u64,
}

/// The memory.
pub(super) struct Decisions {
    max_age: Duration,
    tokens: Cache<Signature, Arc<Decision>>,
    /// Those that are used though they grow old, each once, and who waits for there to be some.
    noted: Mutex<Vec<Signature>>,
    any_noted: Notify,
    everybody: AtomicU64,
    users: Box<[AtomicU64]>,
    /// The sets of permissions that were seen last. Roles are few, and so are these: what each decision had for itself would be a thousand
    /// copies that no cache holds.
    permissions: Mutex<VecDeque<Permissions>>,
    /// Keyed at random: nobody chooses whom they share a mark with.
    hasher: RandomState,
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decisions").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

impl Decisions {
    /// Decisions are good for `max_age`; zero remembers no more than verified signatures.
    pub(super) fn new(max_age: Duration) -> Self {
        Self {
            max_age,
            tokens: Cache::new(CAPACITY),
            noted: Mutex::default(),
            any_noted: Notify::new(),
            everybody: AtomicU64::new(0),
            users: (0..MARKS).map(|_| AtomicU64::new(0)).collect(),
            permissions: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// What is remembered of a token, whether or not it still counts.
    pub(super) fn get(&self, token: &Presented<'_>) -> Option<Arc<Decision>> {
        // Another text under the same signature is a forgery.
        self.tokens.get(&token.signature).filter(|known| *known.token.signed == *token.signed.as_bytes())
    }

    /// Whether what the storage said then may still be acted on. Both clocks have to agree: the monotonic one stands still while the
    /// machine sleeps, the other one may be set back.
    pub(super) fn counts(
        &self,
        token: &Presented<'_>,
        decision: &Decision,
        now: DateTime<Utc>,
        monotonic: Duration,
    ) -> bool {
        let asked = &decision.asked;
        let passed = (now - asked.on).to_std().unwrap_or(Duration::MAX);
        let age = monotonic.saturating_sub(asked.at).max(passed);
        let counts = age < self.max_age && asked.stamp == self.marks(asked.stamp.index);
        if counts && age >= self.max_age / 2 && !decision.noted.swap(true, Ordering::Relaxed) {
            self.note(token.signature);
        }
        counts
    }

    fn note(&self, signature: Signature) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        // Where nobody renews them, they are asked for when their time is over.
        if noted.len() < CAPACITY {
            noted.push(signature);
        }
        drop(noted);
        self.any_noted.notify_one();
    }

    /// Waits until some were noted.
    pub(super) async fn any_noted(&self) {
        self.any_noted.notified().await;
    }

    /// What was noted since the last call, unless it was renewed or forgotten meanwhile.
    pub(super) fn take_noted(&self) -> Vec<(Signature, Arc<Decision>)> {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        let known =
            noted.into_iter().filter_map(|signature| Some((signature, self.tokens.peek(&signature)?)));
        known.filter(|(_, decision)| decision.noted.load(Ordering::Relaxed)).collect()
    }

    /// To be called before the storage is asked.
    pub(super) fn asking(&self, user: UserId, clock: &dyn Clock) -> Asked {
        Asked { stamp: self.marks(self.index(user)), at: clock.monotonic(), on: clock.now() }
    }

    fn marks(&self, index: usize) -> Stamp {
        Stamp {
            everybody: self.everybody.load(Ordering::SeqCst),
            index,
            user: self.users[index].load(Ordering::SeqCst),
        }
    }

    /// The same set, shared with the other decisions that came to it.
    pub(super) fn shared(&self, permissions: Permissions) -> Permissions {
        let mut known = self.permissions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| **known == permissions) {
            return known.clone();
        }
        known.truncate(SETS - 1);
        known.push_front(permissions.clone());
        permissions
    }

    /// Forgets a token that turned out to be good for nothing.
    pub(super) fn remove(&self, token: &Presented<'_>) {
        self.tokens.remove(&token.signature);
    }

    pub(super) fn keep(&self, token: &Presented<'_>, decision: Arc<Decision>) {
        self.tokens.insert(token.signature, decision);
    }

    /// Keeps what became of a decision, `None` for nothing good, unless somebody asked for it meanwhile and knows better.
    pub(super) fn renew(&self, signature: Signature, old: &Arc<Decision>, new: Option<Arc<Decision>>) {
        match new {
            Some(new) if self.tokens.peek(&signature).is_some_and(|known| Arc::ptr_eq(&known, old)) => {
                // Softly: that it was renewed makes nobody use it. One that was forgotten in this moment stays so.
                let _ = self.tokens.replace(signature, new, true);
            }
            Some(_) => {}
            None => drop(self.tokens.remove_if(&signature, |known| Arc::ptr_eq(known, old))),
        }
    }

    /// Voids what was read before.
    pub(super) fn void(&self, what: Changed) {
        match what {
            Changed::User(user) => self.users[self.index(user)].fetch_add(1, Ordering::SeqCst),
            // Tenants change state rarely: all are asked for again.
            Changed::Tenant(_) | Changed::Everything => self.everybody.fetch_add(1, Ordering::SeqCst),
        };
    }

    fn index(&self, user: UserId) -> usize {
        let hash = self.hasher.hash_one(user);
        usize::try_from(hash % MARKS as u64).unwrap_or_default()
    }
}
