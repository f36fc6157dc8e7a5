//! What is done about a right password while it is at hand: it is hashed anew where parameters or pepper have moved on, and looked up
//! among the stolen ones.

use saas_core::{
    Actor, StoreError,
    audit::{AuditActor, AuditEvent},
};

use super::super::{Auth, measures};
use crate::{
    BreachedAtSignIn, Changed, Password, PasswordHash, User, WhenUnknown,
    audited::{PASSWORD_COMPROMISED, PASSWORD_REHASHED},
    password::BreachedError,
};

/// What a right password turned out to be.
#[derive(Debug)]
pub(in crate::auth) enum LookedAfter {
    /// Nothing is in the way; whether others know it is told, and what it was hashed to anew.
    Fine { known: bool, rehashed: Option<PasswordHash> },
    /// Others know it, and the policy lets nobody in with it.
    Compromised,
    /// Nobody could say, and the policy wants to know.
    Unknown(BreachedError),
}

impl Auth {
    /// Looks after the right password of an active user. What cannot be written now is written at the next sign-in: it keeps nobody out.
    pub(in crate::auth) async fn look_after_password(
        &self,
        actor: &Actor,
        user: &User,
        password: &Password,
        stored: &PasswordHash,
    ) -> LookedAfter {
        let rehashed = self.rehash(actor, user, password, stored).await;
        let policy = &self.config.password_policy;
        if policy.breached_at_sign_in == BreachedAtSignIn::Ignore {
            return LookedAfter::Fine { known: user.password_compromised_at.is_some(), rehashed };
        }
        // What is known once is known for ever: until it is changed there is nothing to ask.
        let known = if user.password_compromised_at.is_some() {
            true
        } else {
            let found = self.ports.breached.is_breached(password).await;
            measures::breached_looked_up("sign_in", &found);
            match found {
                Ok(found) => found,
                Err(error) => {
                    let wants = policy.breached_at_sign_in == BreachedAtSignIn::Refuse
                        && policy.when_unknown == WhenUnknown::Refuse;
                    if wants {
                        return LookedAfter::Unknown(error);
                    }
                    tracing::warn!(
                        error = saas_core::fault::chain(&error),
                        "somebody signs in without a look at the list of stolen passwords"
                    );
                    false
                }
            }
        };
        if known && user.password_compromised_at.is_none() {
            tracing::warn!(user.id = %user.id, "a password in use is in the list of stolen ones");
            if let Err(error) = self.flag(actor, user, rehashed.as_ref().unwrap_or(stored)).await {
                tracing::warn!(error = saas_core::fault::chain(&error), user.id = %user.id, "a stolen password was not written down");
            }
        }
        if known && policy.breached_at_sign_in == BreachedAtSignIn::Refuse {
            LookedAfter::Compromised
        } else {
            LookedAfter::Fine { known, rehashed }
        }
    }

    /// Stores a hash at today's parameters in place of an older one, unless the password was changed meanwhile; the new one if it did.
    async fn rehash(
        &self,
        actor: &Actor,
        user: &User,
        password: &Password,
        stored: &PasswordHash,
    ) -> Option<PasswordHash> {
        if self.ports.hasher.is_current(stored) {
            return None;
        }
        let done = match self.ports.hasher.hash(password.clone()).await {
            Ok(new) => self.store_rehash(actor, user, stored, &new).await.map(|done| done.then_some(new)),
            // The next sign-in does it.
            Err(error) => {
                tracing::warn!(error = saas_core::fault::chain(&error), user.id = %user.id, "a password was not hashed anew");
                measures::rehashed("failed");
                return None;
            }
        };
        match done {
            Ok(new) => {
                measures::rehashed(if new.is_some() { "done" } else { "overtaken" });
                new
            }
            Err(error) => {
                tracing::warn!(error = saas_core::fault::chain(&error), user.id = %user.id, "a password was not hashed anew");
                measures::rehashed("failed");
                None
            }
        }
    }

    async fn store_rehash(
        &self,
        actor: &Actor,
        user: &User,
        stored: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let mut tx = self.ports.storage.begin(super::REACH).await?;
        if !self.ports.users.replace_hash(&mut tx, user.id, stored, new, self.now()).await? {
            return Ok(false);
        }
        let event = AuditEvent::new(PASSWORD_REHASHED).about(user.id).by(AuditActor::user(user.id));
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        tracing::info!(user.id = %user.id, "password hashed anew");
        Ok(true)
    }

    /// Writes down that others know the password, unless it was changed meanwhile or that is written already.
    async fn flag(&self, actor: &Actor, user: &User, hash: &PasswordHash) -> Result<(), StoreError> {
        let mut tx = self.ports.storage.begin(super::REACH).await?;
        if !self.ports.users.flag_compromised(&mut tx, user.id, hash, self.now()).await? {
            return Ok(());
        }
        let event = AuditEvent::new(PASSWORD_COMPROMISED).about(user.id).by(AuditActor::user(user.id));
        self.ports.audit.record(&mut tx, actor, event).await?;
        self.note_change(&mut tx, Changed::User(user.id)).await?;
        tx.commit().await
    }
}
