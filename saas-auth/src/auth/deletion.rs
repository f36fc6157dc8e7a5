//! The part of deleting an account that is auth's. Tenancy's `delete_account` is the door.

use saas_core::{Actor, Secret, StoreError, Tx, UserId, audit::AuditEvent};

use super::{Auth, RecoveryError};
use crate::{Changed, User, audited::USER_DELETED};

impl Auth {
    /// The signed-in user, if that is their password. A wrong one is counted and written down; `what_for` says in one word what it was
    /// asked for.
    pub async fn confirm_password(
        &self,
        actor: &Actor,
        typed: &Secret<String>,
        what_for: &'static str,
    ) -> Result<User, RecoveryError> {
        self.prove_password(actor, typed, what_for).await.map(|(_, user, _)| user)
    }

    /// Removes a user with their sessions and tokens in the caller's transaction; `false` when there is no such user.
    pub async fn delete_in(&self, tx: &mut Tx, actor: &Actor, user: UserId) -> Result<bool, StoreError> {
        if !self.ports.users.delete(tx, user).await? {
            return Ok(false);
        }
        self.note_change(tx, Changed::User(user)).await?;
        self.ports.audit.record(tx, actor, AuditEvent::new(USER_DELETED).about(user)).await?;
        Ok(true)
    }
}
