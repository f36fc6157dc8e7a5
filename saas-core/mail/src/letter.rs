//! What a mail says, before it is put into words.

use chrono::{DateTime, TimeZone, Utc};
use saas_core::{DisplayName, Email, Role, Secret, TenantName};

/// A token that whoever gets the mail may use once, and until when. It is made when the mail is sent and stored nowhere.
#[derive(Debug, Clone)]
pub struct Secured {
    /// The token.
    pub token: Secret<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// One of the product's mails. Its variants are all the mails there are, and hold all that they say of somebody.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Letter {
    /// Somebody has registered and founded a tenant.
    Welcome {
        /// How they are called.
        name: Option<DisplayName>,
        /// Their tenant.
        tenant: TenantName,
    },
    /// Somebody has to prove that the address is theirs.
    VerifyEmail {
        /// How they are called.
        name: Option<DisplayName>,
        /// What proves it.
        secured: Secured,
    },
    /// Somebody tried to register with an address that has a user, or to give it to another account.
    AlreadyRegistered {
        /// How the user is called.
        name: Option<DisplayName>,
    },
    /// Somebody has forgotten their password.
    PasswordReset {
        /// How they are called.
        name: Option<DisplayName>,
        /// What lets them set a new one.
        secured: Secured,
    },
    /// An administrator has somebody set a new password.
    PasswordResetByAdmin {
        /// How they are called.
        name: Option<DisplayName>,
        /// What lets them set a new one.
        secured: Secured,
    },
    /// A password was changed.
    PasswordChanged {
        /// How they are called.
        name: Option<DisplayName>,
        /// When.
        at: DateTime<Utc>,
    },
    /// To the new address: it becomes theirs when they say so.
    EmailChangeConfirm {
        /// How they are called.
        name: Option<DisplayName>,
        /// What says so.
        secured: Secured,
    },
    /// To the old address: the new one is to take its place.
    EmailChangeNotice {
        /// How they are called.
        name: Option<DisplayName>,
        /// The new address; it is shown masked.
        new_address: Email,
        /// What undoes it.
        secured: Secured,
    },
    /// Signing in was locked after wrong passwords.
    UnlockAccount {
        /// How they are called.
        name: Option<DisplayName>,
        /// What unlocks it.
        secured: Secured,
    },
    /// Somebody signed in from a device that was not seen before.
    NewSignIn {
        /// How they are called.
        name: Option<DisplayName>,
        /// When.
        at: DateTime<Utc>,
        /// What the device says it is.
        device: Option<String>,
        /// Where it was, as far as the address tells.
        place: Option<String>,
    },
    /// A session was ended because one of its refresh tokens was used a second time.
    SessionRevoked {
        /// How they are called.
        name: Option<DisplayName>,
        /// When.
        at: DateTime<Utc>,
        /// What the session's device says it is.
        device: Option<String>,
    },
    /// A second factor was added.
    FactorAdded {
        /// How they are called.
        name: Option<DisplayName>,
        /// When.
        at: DateTime<Utc>,
        /// What they call it.
        factor: DisplayName,
    },
    /// A second factor was removed.
    FactorRemoved {
        /// How they are called.
        name: Option<DisplayName>,
        /// When.
        at: DateTime<Utc>,
        /// What they called it.
        factor: DisplayName,
    },
    /// A recovery code was used in the place of the second factor.
    RecoveryCodeUsed {
        /// How they are called.
        name: Option<DisplayName>,
        /// When.
        at: DateTime<Utc>,
        /// How many are left.
        left: i64,
    },
    /// Somebody is invited into a tenant.
    Invitation {
        /// The tenant.
        tenant: TenantName,
        /// Who invites.
        inviter: Option<DisplayName>,
        /// What they would be there.
        role: Role,
        /// What lets them in.
        secured: Secured,
    },
    /// An operator tries out whether mails arrive.
    Test,
}

impl Letter {
    /// The names of all of them.
    pub const NAMES: [&'static str; 16] = [
        "welcome",
        "verify_email",
        "already_registered",
        "password_reset",
        "password_reset_by_admin",
        "password_changed",
        "email_change_confirm",
        "email_change_notice",
        "unlock_account",
        "new_sign_in",
        "session_revoked",
        "factor_added",
        "factor_removed",
        "recovery_code_used",
        "invitation",
        "test",
    ];

    /// Its name: of its template, in metrics and on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::VerifyEmail { .. } => "verify_email",
            Self::AlreadyRegistered { .. } => "already_registered",
            Self::PasswordReset { .. } => "password_reset",
            Self::PasswordResetByAdmin { .. } => "password_reset_by_admin",
            Self::PasswordChanged { .. } => "password_changed",
            Self::EmailChangeConfirm { .. } => "email_change_confirm",
            Self::EmailChangeNotice { .. } => "email_change_notice",
            Self::UnlockAccount { .. } => "unlock_account",
            Self::NewSignIn { .. } => "new_sign_in",
            Self::SessionRevoked { .. } => "session_revoked",
            Self::FactorAdded { .. } => "factor_added",
            Self::FactorRemoved { .. } => "factor_removed",
            Self::RecoveryCodeUsed { .. } => "recovery_code_used",
            Self::Invitation { .. } => "invitation",
            Self::Test => "test",
        }
    }

    /// What lets whoever gets it do something, where it is about that.
    pub const fn secured(&self) -> Option<&Secured> {
        match self {
            Self::VerifyEmail { secured, .. }
            | Self::PasswordReset { secured, .. }
            | Self::PasswordResetByAdmin { secured, .. }
            | Self::EmailChangeConfirm { secured, .. }
            | Self::EmailChangeNotice { secured, .. }
            | Self::UnlockAccount { secured, .. }
            | Self::Invitation { secured, .. } => Some(secured),
            _ => None,
        }
    }

    /// One of that name with made-up content, to look at. Its token opens nothing.
    pub fn sample(name: &str) -> Option<Self> {
        let at = Utc.with_ymd_and_hms(2026, 3, 14, 15, 9, 26).single().unwrap_or_default();
        let name_of = |text: &str| DisplayName::from_stored(text.to_owned());
        let ada = Some(name_of("Ada Lovelace"));
        let tenant = TenantName::from_stored("Analytical Engines".to_owned());
        let device = Some("Firefox on Linux".to_owned());
        let secured = Secured {
            token: Secret::new("saas_sample_tokenThatOpensNothing".to_owned()),
            expires_at: at + chrono::TimeDelta::hours(1),
        };
        Some(match name {
            "welcome" => Self::Welcome { name: ada, tenant },
            "verify_email" => Self::VerifyEmail { name: ada, secured },
            "already_registered" => Self::AlreadyRegistered { name: ada },
            "password_reset" => Self::PasswordReset { name: ada, secured },
            "password_reset_by_admin" => Self::PasswordResetByAdmin { name: ada, secured },
            "password_changed" => Self::PasswordChanged { name: ada, at },
            "email_change_confirm" => Self::EmailChangeConfirm { name: ada, secured },
            "email_change_notice" => {
                let new_address = "ada@analytical.example".to_owned();
                Self::EmailChangeNotice {
                    name: ada,
                    new_address: Email::from_stored(new_address.clone(), new_address),
                    secured,
                }
            }
            "unlock_account" => Self::UnlockAccount { name: ada, secured },
            "new_sign_in" => {
                Self::NewSignIn { name: ada, at, device, place: Some("192.0.2.0/24".to_owned()) }
            }
            "session_revoked" => Self::SessionRevoked { name: ada, at, device },
            "factor_added" => Self::FactorAdded { name: ada, at, factor: name_of("Authenticator app") },
            "factor_removed" => Self::FactorRemoved { name: ada, at, factor: name_of("Authenticator app") },
            "recovery_code_used" => Self::RecoveryCodeUsed { name: ada, at, left: 9 },
            "invitation" => Self::Invitation {
                tenant,
                inviter: Some(name_of("Charles Babbage")),
                role: Role::Member,
                secured,
            },
            "test" => Self::Test,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Letter;

    #[test]
    fn every_letter_has_a_sample_of_its_name() {
        for name in Letter::NAMES {
            assert_eq!(Letter::sample(name).map(|letter| letter.name()), Some(name));
        }
        assert!(Letter::sample("another").is_none());
    }
}
