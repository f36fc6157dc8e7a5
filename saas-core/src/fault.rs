//! What every error of ours tells beside its words: its kind and a stable code.

use std::{borrow::Cow, error::Error, fmt, time::Duration};

/// What a caller can do about an error. Hosts map kinds to statuses and exit codes, each in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request's content is wrong.
    Invalid,
    /// No proof of who asks, or a bad one.
    Unauthenticated,
    /// Known who asks, and they may not.
    Forbidden,
    /// It is not there, or not for this actor to see.
    NotFound,
    /// It contradicts what is there.
    Conflict,
    /// It was there and will not come back.
    Gone,
    /// It was decided on an older state.
    Stale,
    /// Too much; later.
    RateLimited,
    /// Something needed is away or busy; later.
    Unavailable,
    /// Our fault.
    Internal,
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Its name in the request.
    pub field: Cow<'static, str>,
    /// A stable code.
    pub code: &'static str,
    /// What is wrong and how to mend it; never the value.
    pub message: String,
}

impl FieldError {
    /// A wrong field.
    pub fn new(field: impl Into<Cow<'static, str>>, code: &'static str, message: impl fmt::Display) -> Self {
        Self { field: field.into(), code, message: message.to_string() }
    }
}

/// What an error tells beside its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report<'e> {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// A stable word for programs.
    pub code: &'static str,
    /// The wrong fields, if that is what it is about.
    pub fields: &'e [FieldError],
    /// When to try again, if that is known.
    pub retry_after: Option<Duration>,
    /// How long ago the user may have proved who they are, where they have to prove it again first (RFC 9470).
    pub step_up: Option<Duration>,
}

impl<'e> Report<'e> {
    /// A kind and a code.
    pub const fn new(kind: ErrorKind, code: &'static str) -> Self {
        Self { kind, code, fields: &[], retry_after: None, step_up: None }
    }

    /// The code `internal`: nothing to act on.
    pub const fn internal() -> Self {
        Self::new(ErrorKind::Internal, "internal")
    }

    /// With the wrong fields.
    #[must_use]
    pub const fn with_fields(mut self, fields: &'e [FieldError]) -> Self {
        self.fields = fields;
        self
    }

    /// With the time to wait.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// That the user has to prove again who they are, no longer ago than this.
    #[must_use]
    pub const fn with_step_up(mut self, max_age: Duration) -> Self {
        self.step_up = Some(max_age);
        self
    }
}

/// An error of a service.
///
/// # Contract
/// - `Display` says what failed in lower case, holds nothing secret and nothing internal, and leaves the cause to `source()`.
/// - A released code never changes.
pub trait Fault: Error + Send + Sync + 'static {
    /// What it tells beside its words.
    fn report(&self) -> Report<'_>;
}

/// Something that a caller cannot act on; the cause is for the log.
#[derive(Debug)]
pub struct InternalError(Box<dyn Error + Send + Sync>);

impl InternalError {
    /// Wraps a cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for InternalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an internal error occurred")
    }
}

impl Error for InternalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// An error and what caused it, on one line, for a log.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // A transparent error repeats its cause's words.
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line
}
