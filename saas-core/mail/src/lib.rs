//! What the product's mails say, and where they go: [`Letters`] renders a [`Letter`], as text and as HTML, and a
//! [`Mailer`](saas_core::Mailer) sends it: [`FolderMailer`] and [`MemoryMailer`] always, SMTP and Resend by the features `smtp` and
//! `resend`.
//!
//! It reads no setting, looks nobody up and starts no task; `saas-kit` chooses the mailer and does the job that sends.
//!
//! ```
//! use saas_core::{MailKey, Mailbox, Mailer};
//! use saas_mail::{Brand, Letter, Letters, MemoryMailer};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let brand = Brand::new("Acme", "https://app.example.com", Mailbox::parse("Acme <post@example.com>")?)?;
//! let letter = Letter::Welcome { name: None, tenant: saas_core::TenantName::parse("Analytical Engines")? };
//! let mail = Letters::new(brand).mail(&letter, Mailbox::parse("ada@example.com")?, MailKey::parse("some-job")?)?;
//! assert_eq!(mail.subject.as_str(), "Welcome to Acme");
//! assert!(mail.text.contains("Analytical Engines"));
//!
//! let mailer = MemoryMailer::default();
//! mailer.send(&mail).await?;
//! assert_eq!(mailer.mails(), [mail]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content;
mod english;
mod folder;
mod letter;
mod letters;
mod memory;
mod mime;
#[cfg(feature = "resend")]
pub mod resend;
#[cfg(feature = "smtp")]
pub mod smtp;
#[cfg(any(feature = "resend", feature = "smtp"))]
mod timed_out;

pub use folder::FolderMailer;
pub use letter::{Letter, Secured};
pub use letters::{Brand, Letters, Locale, RenderError};
pub use memory::MemoryMailer;
pub use mime::{UnmailableError, eml};
#[cfg(feature = "resend")]
pub use resend::{InvalidResendConfig, Resend, ResendConfig};
#[cfg(feature = "smtp")]
pub use smtp::{InvalidSmtpConfig, Smtp, SmtpConfig, SmtpTls};
