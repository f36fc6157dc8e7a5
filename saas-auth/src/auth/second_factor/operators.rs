//! What support does for somebody whose app and recovery codes are lost, once they have proved who they are by other means.

use metrics::counter;
use saas_core::{Actor, UserId};

use super::{REACH, SecondFactorError, SecondFactorState};
use crate::{
    Auth, Changed, Revocation,
    auth::{keys::is_operator, measures},
};

impl Auth {
    /// What any user's second factor is like. For operators.
    pub async fn second_factor_of_user(
        &self,
        actor: &Actor,
        user: UserId,
    ) -> Result<SecondFactorState, SecondFactorError> {
        if !is_operator(actor) {
            return Err(SecondFactorError::Forbidden);
        }
        self.state_of(user, false).await
    }

    /// Removes any user's second factor and recovery codes, ends their sessions, and tells them. For operators.
    pub async fn remove_second_factor(&self, actor: &Actor, user: UserId) -> Result<(), SecondFactorError> {
        if !is_operator(actor) {
            return Err(SecondFactorError::Forbidden);
        }
        let why = Revocation::FactorRemoved;
        let mut tx = self.ports.storage.begin(REACH).await?;
        self.ports.users.shared(&mut tx, user).await?.ok_or(SecondFactorError::UserNotFound)?;
        self.take_away(&mut tx, actor, user).await?;
        // The app may be in the hands of whoever has the device.
        let ended = self.ports.sessions.revoke_all(&mut tx, user, why, self.now()).await?;
        self.note_change(&mut tx, Changed::User(user)).await?;
        tx.commit().await?;
        counter!("saas_second_factors_total", "change" => "removed").increment(1);
        measures::sessions_revoked(why, ended);
        tracing::info!(user.id = %user, sessions = ended, "second factor removed by an operator");
        Ok(())
    }
}
