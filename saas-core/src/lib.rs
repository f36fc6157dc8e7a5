//! What every domain of the SaaS back end shares: ids, clock, randomness, secrets, errors, paging, actors with their permissions, and
//! the ports that several domains use.
//!
//! It is not a framework: it reaches no database, no network, no runtime and no environment. Adapters implement its ports, domain
//! crates hold them as `Arc<dyn Port>`, and hosts choose the adapters.
//!
//! ```
//! use saas_core::{Email, Role, Slug};
//!
//! let email = Email::parse("Ada+work@Example.COM")?;
//! assert_eq!(email.as_str(), "ada+work@example.com");
//! assert_eq!(email.shown(), "Ada+work@Example.COM");
//! assert_eq!(Slug::from_name("Analytical Engines, Ltd.").as_str(), "analytical-engines-ltd");
//! assert!(Role::Admin > Role::Member);
//! # Ok::<(), saas_core::InvalidEmail>(())
//! ```

// So that macros of ours name this crate the same inside and outside of it.
extern crate self as saas_core;

pub mod actor;
pub mod audit;
pub mod background;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod email;
pub mod entropy;
pub mod envelope;
pub mod event_log;
pub mod export;
pub mod fault;
pub mod geo;
pub mod id;
pub mod jobs;
pub mod keyring;
pub mod mail;
pub mod mail_job;
pub mod mailer;
pub mod memberships;
pub mod network;
pub mod page;
pub mod permission;
pub mod rate_limit;
pub mod role;
pub mod secret;
pub mod secret_store;
pub mod slug;
pub mod storage;
pub mod text;
mod user_deleted;

pub use actor::{Actor, Client, Principal};
pub use audit::{Audit, AuditLog};
pub use background::Background;
pub use clock::Clock;
pub use email::{Email, InvalidEmail};
pub use entropy::Entropy;
pub use envelope::{Envelope, Field, FieldCipher};
pub use event_log::{Cut, Event, EventBounds, EventLog, EventLogError, Excess, Topic, TopicState};
pub use export::{Document, ExportError};
pub use fault::{ErrorKind, Fault, FieldError, InternalError, Report};
pub use geo::{GeoError, GeoLocator, Place};
pub use id::{RequestId, SessionId, TenantId, UserId};
pub use keyring::{Keyring, KeyringError};
pub use mail::{InvalidMailKey, InvalidMailbox, Mail, MailBodies, MailKey, MailSubject, Mailbox};
pub use mail_job::SendMail;
pub use mailer::{MailError, Mailer, Refusal, ServiceCode};
pub use memberships::{Memberships, Standing, TenantChoice, TenantState};
pub use network::Network;
pub use page::{Cursor, InvalidCursor, Page, PageSize};
pub use permission::{InvalidPermission, Permission, Permissions};
pub use rate_limit::{Grant, Quota, QuotaKey, RateLimitError, RateLimiter, RateLimits};
pub use role::Role;
pub use secret::Secret;
pub use secret_store::{ReplacedIn, SecretStore, SecretStoreError, StoredSecret};
pub use slug::{InvalidSlug, Slug};
pub use storage::{Conn, Reach, Storage, StoreError, Tx};
pub use text::{DisplayName, InvalidText, TenantName};
pub use user_deleted::UserDeleted;
