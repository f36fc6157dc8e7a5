//! The stores of [`saas_auth`] over SQLite and PostgreSQL.
//!
//! Rows and SQL of auth live here and nowhere else; what the stores promise stands at their ports.
//!
//! ```
//! assert_eq!(saas_auth_sql::AUTH.name, "auth");
//! let (users, sessions) = (saas_auth_sql::SqlUsers, saas_auth_sql::SqlSessions);
//! # let _ = (users, sessions);
//! ```

mod challenge;
mod change_feed;
mod guess;
mod one_time_token;
mod password_history;
mod second_factor;
mod session;
mod user;

pub use challenge::SqlChallenges;
pub use change_feed::SqlChanges;
pub use guess::SqlGuesses;
pub use one_time_token::SqlOneTimeTokens;
pub use password_history::SqlPasswordHistory;
use saas_sql::{Component, EnvelopedColumn, Keep, Purge, Retention};
pub use second_factor::SqlSecondFactors;
pub use session::SqlSessions;
pub use user::SqlUsers;

/// Where sessions keep the address that they were opened from. `ip_masked` held it before version 4, and holds it still where an older
/// release wrote it, until `saas secrets reencrypt` has moved it.
pub const SESSION_ADDRESS: EnvelopedColumn = EnvelopedColumn {
    table: "saas_sessions",
    id: "id",
    column: "address_envelope",
    plain: Some("ip_masked"),
};

/// Where sessions keep where their address is.
pub const SESSION_PLACE: EnvelopedColumn =
    EnvelopedColumn { table: "saas_sessions", id: "id", column: "place_envelope", plain: None };

/// Where one-time tokens keep the address that a change of address is about beside the one that stands.
pub const TOKEN_ADDRESS: EnvelopedColumn =
    EnvelopedColumn { table: "saas_one_time_tokens", id: "id", column: "address_envelope", plain: None };
/// Where the seeds of authenticator apps stand.
pub const TOTP_SEED: EnvelopedColumn =
    EnvelopedColumn { table: "saas_second_factors", id: "user_id", column: "seed_envelope", plain: None };

/// The migrations of auth's tables.
pub const AUTH: Component = saas_sql::component!(
    "auth",
    [
        (1, 1, "0001_users_and_sessions"),
        (2, 1, "0002_changes"),
        (3, 1, "0003_rotation_in_place"),
        (4, 1, "0004_address_in_envelope"),
        (5, 1, "0005_one_time_tokens"),
        (6, 1, "0006_passwords"),
        (7, 1, "0007_guesses"),
        (8, 1, "0008_second_factors"),
        (9, 1, "0009_places")
    ]
);

/// How long their rows live.
pub const RETENTION: &[Retention] = &[
    Retention { table: "saas_users", keep: Keep::WithOwner("a user's row is the account") },
    Retention {
        table: "saas_sessions",
        keep: Keep::Until(Purge {
            what: "ended_sessions",
            delete: "DELETE FROM saas_sessions WHERE id IN (SELECT id FROM saas_sessions \
                     WHERE revoked_at < $1 OR idle_expires_at < $1 OR absolute_expires_at < $1 ORDER BY id LIMIT $2)",
        }),
    },
    Retention {
        table: "saas_one_time_tokens",
        keep: Keep::Until(Purge {
            what: "expired_tokens",
            delete: "DELETE FROM saas_one_time_tokens WHERE id IN (SELECT id FROM saas_one_time_tokens \
                     WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
        }),
    },
    Retention {
        table: "saas_sign_in_guesses",
        keep: Keep::Until(Purge {
            what: "expired_guesses",
            delete: "DELETE FROM saas_sign_in_guesses WHERE id IN (SELECT id FROM saas_sign_in_guesses \
                     WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
        }),
    },
    Retention {
        table: "saas_forgotten_devices",
        keep: Keep::WithOwner("a row for each user, removed with them"),
    },
    Retention {
        table: "saas_password_history",
        keep: Keep::WithOwner("of a user's former passwords there are as many as the policy looks back to"),
    },
    Retention {
        table: "saas_second_factors",
        keep: Keep::WithOwner("one row for each user who has one, removed with them"),
    },
    Retention {
        table: "saas_recovery_codes",
        keep: Keep::WithOwner("ten for each user who has a second factor, removed with it or with them"),
    },
    Retention {
        table: "saas_sign_in_challenges",
        keep: Keep::Until(Purge {
            what: "sign_in_challenges",
            delete: "DELETE FROM saas_sign_in_challenges WHERE id IN (SELECT id FROM saas_sign_in_challenges \
                     WHERE expires_at < $1 ORDER BY expires_at, id LIMIT $2)",
        }),
    },
    Retention { table: "saas_changes", keep: Keep::ByWriter("a minute, by whoever reads the feed") },
];
