//! The roles of a tenant's members.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Permission, Permissions};

/// A member's role in one tenant; a greater role outranks a lesser one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Works.
    Member,
    /// Runs the tenant.
    Admin,
    /// Answers for the tenant; alone may grant or revoke this role.
    Owner,
}

/// A word that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown role: one of owner, admin, member, viewer")]
pub struct UnknownRole;

impl Role {
    /// Every role, least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Admin, Self::Owner];

    /// The word for it in storage and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Whether who has this role may give somebody `role`, or take it away: nobody above their own, and whoever cannot run the tenant
    /// grants nothing.
    pub fn may_grant(self, role: Self) -> bool {
        self >= Self::Admin && role <= self
    }

    /// What it may do.
    pub fn permissions(self) -> Permissions {
        let viewer = [Permission::CONVERSATIONS_READ, Permission::TOOLS_READ];
        let member = [Permission::CONVERSATIONS_WRITE];
        let admin = [
            Permission::CONVERSATIONS_DELETE,
            Permission::WORKFLOWS_DELETE,
            Permission::BILLING_READ,
            Permission::BILLING_MANAGE,
            Permission::SUPPORT_READ,
            Permission::ACTIVITY_READ,
        ];
        viewer
            .into_iter()
            .chain(member.into_iter().filter(|_| self >= Self::Member))
            .chain(admin.into_iter().filter(|_| self >= Self::Admin))
            .collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(UnknownRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_grants_above_their_own_rank() {
        let grants = |by: Role| {
            Role::ALL.into_iter().filter(|role| by.may_grant(*role)).map(Role::as_str).collect::<Vec<_>>()
        };
        assert!(grants(Role::Viewer).is_empty() && grants(Role::Member).is_empty());
        assert_eq!(grants(Role::Admin), ["viewer", "member", "admin"]);
        assert_eq!(grants(Role::Owner), ["viewer", "member", "admin", "owner"]);
    }

    #[test]
    fn the_table_of_roles_and_permissions() {
        let table: Vec<String> =
            Role::ALL.iter().map(|role| format!("{role}: {}", role.permissions().to_scope())).collect();
        assert_eq!(
            table,
            [
                "viewer: conversations:read tools:read",
                "member: conversations:read conversations:write tools:read",
                "admin: activity:read billing:manage billing:read conversations:delete conversations:read conversations:write support:read tools:read workflows:delete",
                "owner: activity:read billing:manage billing:read conversations:delete conversations:read conversations:write support:read tools:read workflows:delete",
            ]
        );
    }
}
