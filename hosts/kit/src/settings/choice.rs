//! Settings that are one word out of a few.

use std::fmt;

use super::SettingValue;

macro_rules! choice {
    ($(#[$meta:meta])+ $name:ident { $($(#[$variant_meta:meta])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])+
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])+ $variant,)+
        }

        impl $name {
            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl SettingValue for $name {
            const KIND: &'static str = "choice";
            const CHOICES: &'static [&'static str] = &[$($word),+];

            fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("is none of {}", Self::CHOICES.join(", "))),
                }
            }

            fn shown(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    };
}

choice! {
    /// Who may register.
    SignupAccessPolicy {
        /// Anybody.
        Public = "public",
        /// Whoever holds an invitation.
        InviteOnly = "invite_only",
        /// Whoever asked and was approved.
        Approval = "approval",
    }
}

choice! {
    /// Who has to have a second factor.
    SecondFactor {
        /// Nobody; whoever has one is asked for it.
        Optional = "optional",
        /// Admins and owners of a tenant.
        RequiredForAdmins = "required_for_admins",
        /// Everybody.
        Required = "required",
    }
}

choice! {
    /// Which header proxies tell a client's address in.
    ForwardedHeader {
        /// `X-Forwarded-For`, with `X-Forwarded-Proto` beside it.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
    }
}

choice! {
    /// How log lines look.
    LogFormat {
        /// `Pretty` on a terminal, else `Json`.
        Auto = "auto",
        /// For people.
        Pretty = "pretty",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// How much SQLite waits for the disk (`PRAGMA synchronous`).
    SqliteSynchronous {
        /// At every commit: what was committed survives a power cut.
        Full = "full",
        /// At checkpoints: a power cut may undo the last commits, never corrupt the file.
        Normal = "normal",
    }
}

choice! {
    /// How mails leave.
    MailTransport {
        /// Each into a file.
        Folder = "folder",
        /// By an SMTP server.
        Smtp = "smtp",
        /// By Resend's API.
        Resend = "resend",
    }
}

choice! {
    /// How the connection to an SMTP server is encrypted.
    SmtpEncryption {
        /// By the command `STARTTLS`, and not without.
        StartTls = "starttls",
        /// From its first byte.
        Implicit = "implicit",
        /// Not at all.
        None = "none",
    }
}

choice! {
    /// Which list of stolen passwords is looked at.
    BreachedChoice {
        /// None.
        None = "none",
        /// The one in the program.
        Bundled = "bundled",
        /// A downloaded one.
        File = "file",
        /// A service's, of which a part is fetched.
        Range = "range",
    }
}

choice! {
    /// Who is asked where addresses are.
    GeoChoice {
        /// Nobody.
        None = "none",
        /// A file in MaxMind's format.
        MaxMind = "maxmind",
        /// A file in `IP2Location`'s format.
        Ip2Location = "ip2location",
        /// The service.
        IpInfo = "ipinfo",
    }
}

choice! {
    /// What to do with a new password that cannot be looked up.
    UnknownChoice {
        /// Take it.
        Accept = "accept",
        /// Do not, for now.
        Refuse = "refuse",
    }
}

choice! {
    /// What to do with a stolen password that somebody signs in with.
    BreachedSignInChoice {
        /// Do not look.
        Ignore = "ignore",
        /// Let them in and say so.
        Flag = "flag",
        /// Let nobody in with it.
        Refuse = "refuse",
    }
}

#[cfg(test)]
mod tests {
    use super::{LogFormat, SettingValue, SignupAccessPolicy};

    #[test]
    fn a_choice_reads_its_own_words() {
        assert_eq!(SignupAccessPolicy::parse("Invite_Only"), Ok(SignupAccessPolicy::InviteOnly));
        assert_eq!(LogFormat::parse("xml"), Err("is none of auto, pretty, json".to_owned()));
    }
}
