//! Permissions; on the wire they are called scopes.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};

/// One thing that an actor may do, as `namespace:action`.
///
/// There is no universal wildcard: `*` stands for the actions of one namespace alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission(Cow<'static, str>);

/// A text that is not a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a permission has the form namespace:action, of lower-case letters, digits and _, or namespace:*")]
pub struct InvalidPermission;

impl Permission {
    /// Read conversations.
    pub const CONVERSATIONS_READ: Self = Self(Cow::Borrowed("conversations:read"));
    /// Write to conversations.
    pub const CONVERSATIONS_WRITE: Self = Self(Cow::Borrowed("conversations:write"));
    /// Delete anybody's conversations in the tenant; one's own take writing alone.
    pub const CONVERSATIONS_DELETE: Self = Self(Cow::Borrowed("conversations:delete"));
    /// List agents and tools.
    pub const TOOLS_READ: Self = Self(Cow::Borrowed("tools:read"));
    /// Delete workflows.
    pub const WORKFLOWS_DELETE: Self = Self(Cow::Borrowed("workflows:delete"));
    /// Read plans, invoices and usage.
    pub const BILLING_READ: Self = Self(Cow::Borrowed("billing:read"));
    /// Change the subscription.
    pub const BILLING_MANAGE: Self = Self(Cow::Borrowed("billing:manage"));
    /// Read what support needs.
    pub const SUPPORT_READ: Self = Self(Cow::Borrowed("support:read"));
    /// Read the activity of a tenant.
    pub const ACTIVITY_READ: Self = Self(Cow::Borrowed("activity:read"));

    /// Parses `namespace:action` or `namespace:*`.
    pub fn parse(text: &str) -> Result<Self, InvalidPermission> {
        let word = |w: &str| {
            !w.is_empty()
                && w.len() <= 64
                && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        match text.split_once(':') {
            Some((namespace, action)) if word(namespace) && (action == "*" || word(action)) => {
                Ok(Self(Cow::Owned(text.to_owned())))
            }
            _ => Err(InvalidPermission),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether who holds this may do `wanted`.
    pub fn covers(&self, wanted: &Self) -> bool {
        self == wanted
            || self
                .0
                .strip_suffix('*')
                .is_some_and(|namespace| wanted.0.starts_with(namespace) && !wanted.0.ends_with('*'))
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of permissions, in order. Clones share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(Arc<BTreeSet<Permission>>);

impl Permissions {
    /// Whether one of them covers `wanted`.
    pub fn allow(&self, wanted: &Permission) -> bool {
        self.0.iter().any(|held| held.covers(wanted))
    }

    /// Those that `other` covers too: a token's scopes may narrow a role's, never widen them.
    #[must_use]
    pub fn narrowed_to(&self, other: &Self) -> Self {
        self.0.iter().filter(|held| other.allow(held) || other.0.contains(*held)).cloned().collect()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }

    /// The `scope` of RFC 6749 section 3.3: separated by spaces.
    pub fn to_scope(&self) -> String {
        self.0.iter().map(Permission::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(Arc::new(permissions.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_its_namespace_and_nothing_else() {
        let parse = |text| Permission::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert!(parse("billing:*").covers(&parse("billing:read")));
        assert!(!parse("billing:*").covers(&parse("billings:read")));
        assert!(!parse("support:*").covers(&parse("billing:read")));
        for wrong in
            ["*", "*:*", "*:read", "billing", "billing:", ":read", "billing:a b", "Billing:read", "a:b:c"]
        {
            assert_eq!(Permission::parse(wrong), Err(InvalidPermission), "{wrong}");
        }
    }
}
