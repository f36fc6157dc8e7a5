//! The job that a deletion leaves behind, for what other domains keep of a user.

use serde::{Deserialize, Serialize};

use crate::{TenantId, UserId, jobs::Job};

/// A user is gone: what is kept of them elsewhere has to go, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDeleted {
    /// Who is gone.
    pub user: UserId,
    /// The tenants that they were a member of.
    pub tenants: Vec<TenantId>,
}

impl Job for UserDeleted {
    const KIND: &'static str = "user.deleted";
    /// It is owed for as long as it takes: some two weeks.
    const MAX_ATTEMPTS: i64 = 300;
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_payload_holds_ids() {
        let id = Uuid::from_u128(7);
        let job = UserDeleted { user: UserId::from_uuid(id), tenants: vec![TenantId::from_uuid(id)] };
        let json = r#"{"user":"00000000-0000-0000-0000-000000000007","tenants":["00000000-0000-0000-0000-000000000007"]}"#;
        assert_eq!(serde_json::to_string(&job).unwrap(), json);
        assert_eq!(UserDeleted::read(1, json).unwrap(), job);
    }
}
