//! The conformance suites of tenancy's ports; how they are used stands at [`saas_core::conformance`]. What a
//! [`MembershipStore`](crate::MembershipStore) answers as [`Memberships`](saas_core::Memberships) is checked by that port's suite.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check that finds a broken contract fails its test, loudly"
)]

pub mod membership_store;
pub mod tenant_store;

use chrono::{DateTime, Utc};
use saas_core::{Reach, Slug, TenantId, TenantName, TenantState};
use uuid::Uuid;

use crate::Tenant;

const REACH: Reach = Reach::Platform("conformance");

/// Any moment, and so many seconds later.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 123_456_000).unwrap()
}

/// A UUIDv7 that sorts by its number.
fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | number)
}

fn tenant(number: u128) -> Tenant {
    Tenant {
        id: TenantId::from_uuid(uuid(number)),
        slug: Slug::parse(&format!("tenant-{number}")).unwrap(),
        name: TenantName::parse(&format!("Tenant № {number}")).unwrap(),
        state: TenantState::Active,
        created_at: at(0),
    }
}
