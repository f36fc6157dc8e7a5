//! The conformance suites of auth's ports; how they are used stands at [`saas_core::conformance`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check that finds a broken contract fails its test, loudly"
)]

pub mod breached_passwords;
pub mod challenge_store;
pub mod change_feed;
pub mod guess_store;
pub mod one_time_token_store;
pub mod password_hasher;
pub mod password_history;
pub mod second_factor_store;
pub mod session_store;
pub mod user_store;

use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_core::{Email, Envelope, Reach, SessionId, TenantId, UserId};
use uuid::Uuid;

use crate::{AuthMethod, AuthMethods, Device, Family, PasswordHash, Session, User, UserStatus};

const REACH: Reach = Reach::Platform("conformance");

/// Any moment, and so many seconds later.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 123_456_000).unwrap()
}

/// A UUIDv7 that sorts by its number.
fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | number)
}

fn user_id(number: u128) -> UserId {
    UserId::from_uuid(uuid(number))
}

fn tenant_id(number: u128) -> TenantId {
    TenantId::from_uuid(uuid(number))
}

fn session_id(number: u128) -> SessionId {
    SessionId::from_uuid(uuid(number))
}

fn user(number: u128) -> User {
    User {
        id: user_id(number),
        email: Email::parse(&format!("User{number}@Example.com")).unwrap(),
        display_name: None,
        status: UserStatus::Active,
        email_verified_at: None,
        password_compromised_at: None,
        created_at: at(0),
    }
}

fn hash(number: u128) -> PasswordHash {
    PasswordHash::from_stored(format!("$argon2id$of user {number}"))
}

/// A session that began at `at(0)`, is idle after an hour and over after a day.
fn family(number: u128, user: u128, tenant: u128) -> Family {
    let session = Session {
        id: session_id(number),
        user: user_id(user),
        tenant: tenant_id(tenant),
        version: 1,
        created_at: at(0),
        authenticated_at: at(0),
        methods: AuthMethods::of(AuthMethod::Password),
        last_seen_at: at(0),
        idle_expires_at: at(0) + Duration::from_hours(1),
        absolute_expires_at: at(0) + Duration::from_hours(24),
        revoked_at: None,
        device: Device { platform: Some("Linux".into()), browser: Some("Firefox".into()), device: None },
        user_agent: Some(format!("agent {number}")),
        address: Some(Envelope::from_stored(vec![1, 2, 3])),
        place: Some(Envelope::from_stored(vec![4, 5])),
        fingerprint: None,
    };
    Family {
        session,
        client_id: "first-party".into(),
        key_id: "k1".into(),
        salt: vec![7; 16],
        generation: 1,
        rotated_at: at(0),
    }
}
