//! Tenants and who belongs to them, behind one service.
//!
//! [`Tenancy`] is the one door; [`Tenancy::register`] writes a user, their tenant, their membership as its owner and their first session
//! in one transaction. Auth asks this crate who belongs where through [`Memberships`](saas_core::Memberships), which the adapter of the
//! stores also implements. It is no authorization server: what a role may do stands in [`saas_core::Role`].
//!
//! ```
//! use saas_core::{Email, Secret, TenantName};
//! use saas_tenancy::Register;
//!
//! let command = Register::new(
//!     Email::parse("ada@example.com")?,
//!     Secret::new("correct horse battery".to_owned()),
//!     TenantName::parse("Analytical Engines")?,
//! );
//! # let _ = command;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod audited;
#[cfg(feature = "conformance")]
pub mod conformance;
mod deletion;
mod export;
mod register;
mod tenancy;
mod tenant;

pub use deletion::DeleteAccountError;
pub use register::{
    PrepareRegistrationError, PreparedRegistration, Register, RegisterError, RegisterInError, Registered,
    RegisteredIn, SignedUp,
};
pub use tenancy::{SignupPolicy, Tenancy, TenancyConfig, TenancyPorts, TenantError};
pub use tenant::{Held, Leaving, MembershipStore, Tenant, TenantStore};
