//! The words of a row: what was done, by whom, to whom, and what came of it.

use std::{borrow::Cow, fmt, str::FromStr};

use crate::{Actor, Principal, SessionId, TenantId, UserId, jobs::JobId};

/// A text that is not the word it was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAuditWord(&'static str);

/// What was done: a dotted name that stays for ever, as `auth.session.opened`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditAction(Cow<'static, str>);

impl AuditAction {
    /// An action of a program's, for a constant: a name that is not one is found by the compiler.
    ///
    /// # Panics
    /// Where the name is empty, longer than 64 characters, or of anything but `a-z`, `0-9`, `_` and dots.
    pub const fn new(name: &'static str) -> Self {
        assert!(is_name(name), "an action is a dotted name of a-z, 0-9 and _");
        Self(Cow::Borrowed(name))
    }

    /// An action that somebody asks for.
    pub fn parse(text: &str) -> Result<Self, InvalidAuditWord> {
        let action = is_name(text).then(|| Self(Cow::Owned(text.to_owned())));
        action.ok_or(InvalidAuditWord("not an action such as auth.session.opened"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, for who keeps it.
    pub fn into_name(self) -> Cow<'static, str> {
        self.0
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    let mut dots = 0;
    // Where a part begins, a dot would make an empty one.
    let mut begins = true;
    while index < bytes.len() {
        match bytes[index] {
            b'a'..=b'z' | b'0'..=b'9' | b'_' => begins = false,
            b'.' if !begins => {
                begins = true;
                dots += 1;
            }
            _ => return false,
        }
        index += 1;
    }
    !begins && dots > 0 && bytes.len() <= 64
}

/// Who did it: `anonymous`, `user:<id>`, or `system:<part>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditActor(String);

impl AuditActor {
    /// A user.
    pub fn user(user: UserId) -> Self {
        Self(format!("user:{user}"))
    }

    /// An actor that somebody asks for.
    pub fn parse(text: &str) -> Result<Self, InvalidAuditWord> {
        let known = match text.split_once(':') {
            None => text == "anonymous",
            Some(("user", id)) => id.parse::<UserId>().is_ok(),
            Some(("system", part)) => is_short(part),
            Some(_) => false,
        };
        known.then(|| Self(text.to_owned())).ok_or(InvalidAuditWord(
            "not an actor: anonymous, user:<id>, or system:<part> such as system:cli",
        ))
    }

    /// The text that rows have.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Actor> for AuditActor {
    fn from(actor: &Actor) -> Self {
        match &actor.principal {
            Principal::Anonymous => Self("anonymous".to_owned()),
            Principal::User(user) => Self::user(user.user),
            Principal::System(part) => Self(format!("system:{part}")),
        }
    }
}

/// To whom or what it was done: `<kind>:<id>`, as `session:01890a5d-…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSubject(String);

impl AuditSubject {
    /// Something of that kind with that id: an id of ours or another name that tells nothing of a person.
    pub fn new(kind: &'static str, id: impl fmt::Display) -> Self {
        Self(format!("{kind}:{id}"))
    }

    /// A subject that somebody asks for.
    pub fn parse(text: &str) -> Result<Self, InvalidAuditWord> {
        let known = text.split_once(':').is_some_and(|(kind, id)| is_short(kind) && is_short(id));
        let error =
            InvalidAuditWord("not a subject: <kind>:<id>, as user:01890a5d-ac96-774b-bcce-b302099a8057");
        known.then(|| Self(text.to_owned())).ok_or(error)
    }

    /// The text that rows have.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_short(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic())
}

impl From<UserId> for AuditSubject {
    fn from(user: UserId) -> Self {
        Self::new("user", user)
    }
}

impl From<TenantId> for AuditSubject {
    fn from(tenant: TenantId) -> Self {
        Self::new("tenant", tenant)
    }
}

impl From<SessionId> for AuditSubject {
    fn from(session: SessionId) -> Self {
        Self::new("session", session)
    }
}

impl From<JobId> for AuditSubject {
    fn from(job: JobId) -> Self {
        Self::new("job", job)
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditOutcome {
    /// It was done.
    Success,
    /// It was refused.
    Failure,
}

impl AuditOutcome {
    /// The word that rows have.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

macro_rules! words {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidAuditWord;

            fn from_str(text: &str) -> Result<Self, InvalidAuditWord> {
                Self::parse(text)
            }
        }
    )+};
}

words!(AuditAction, AuditActor, AuditSubject);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_a_dotted_name() {
        for name in ["auth.session.opened", "a.b", "mail.x_2.sent"] {
            assert_eq!(AuditAction::parse(name).map(|action| action.to_string()), Ok(name.to_owned()));
        }
        for wrong in [
            "",
            "auth",
            ".auth.x",
            "auth.",
            "auth..x",
            "Auth.x",
            "auth.x y",
            &format!("a.{}", "b".repeat(64)),
        ] {
            assert!(AuditAction::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn actors_and_subjects_are_those_that_rows_can_have() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        for actor in ["anonymous", "system:cli", &format!("user:{id}")] {
            assert_eq!(AuditActor::parse(actor).map(|actor| actor.to_string()), Ok(actor.to_owned()));
        }
        for wrong in ["", "ada@example.com", "user:ada", "system:", "robot:1", "system:a b"] {
            assert!(AuditActor::parse(wrong).is_err(), "{wrong}");
        }
        assert!(AuditSubject::parse(&format!("user:{id}")).is_ok());
        for wrong in ["", id, ":x", "user:", "user:\u{7}"] {
            assert!(AuditSubject::parse(wrong).is_err(), "{wrong}");
        }
    }
}
