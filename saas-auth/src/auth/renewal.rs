//! Asking again for decisions that are in use, before their time is over, and for many of them in one read.

use std::{collections::HashMap, sync::Arc, time::Duration};

use saas_core::{Reach, SessionId, StoreError, TenantId, UserId};

use super::{
    Auth,
    decisions::{Asked, Decision, Signature},
};

/// How many decisions one read is for.
const BATCH: usize = 256;

const REACH: Reach = Reach::Platform("decisions in use, of many tenants");

impl Auth {
    /// How long a host lets decisions gather between [`Auth::decisions_grow_old`] and [`Auth::renew_decisions`].
    pub const RENEWAL_PAUSE: Duration = Duration::from_millis(20);

    /// Waits until a decision was used after half of its time.
    pub async fn decisions_grow_old(&self) {
        self.decisions.any_noted().await;
    }

    /// Asks the storage again for the decisions that were used after half of their time, for many at once: so no request has to. For
    /// hosts, as often as [`Auth::decisions_grow_old`] ends; where nobody calls it, a request asks when the time is over.
    ///
    /// What is not used is not asked for. A session that has ended is forgotten, and its next request is told by the storage.
    pub async fn renew_decisions(&self) -> Result<(), StoreError> {
        for batch in self.decisions.take_noted().chunks(BATCH) {
            self.renew(batch).await?;
        }
        Ok(())
    }

    async fn renew(&self, batch: &[(Signature, Arc<Decision>)]) -> Result<(), StoreError> {
        // Before the read: who is changed while it goes on is decided by it no more.
        let asked: Vec<Asked> = batch
            .iter()
            .map(|(_, old)| self.decisions.asking(old.principal.user, &*self.ports.clock))
            .collect();
        let ids: Vec<SessionId> = batch.iter().map(|(_, old)| old.principal.session).collect();
        let members: Vec<(UserId, TenantId)> =
            batch.iter().map(|(_, old)| (old.principal.user, old.principal.tenant)).collect();
        let mut conn = self.ports.storage.read(REACH).await?;
        let snapshots = self.ports.sessions.snapshots(&mut conn, &ids).await?;
        let standings = self.ports.memberships.standings(&mut conn, &members).await?;
        drop(conn);
        let snapshots: HashMap<_, _> = snapshots.into_iter().collect();
        let standings: HashMap<_, _> = standings.into_iter().collect();
        for (((signature, old), asked), member) in batch.iter().zip(asked).zip(members) {
            let snapshot = snapshots.get(&old.principal.session);
            let new =
                snapshot.filter(|snapshot| self.is_good(&old.token.claims, snapshot)).and_then(|snapshot| {
                    self.decided(old.token.clone(), asked, snapshot.clone(), standings.get(&member).copied())
                });
            self.decisions.renew(*signature, old, new);
        }
        Ok(())
    }
}
