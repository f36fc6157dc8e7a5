//! Parsing a request's fields into types, with every problem at once.

use std::{borrow::Cow, fmt::Display};

use saas_core::FieldError;

use crate::Problem;

/// Collects what is wrong while fields are parsed.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<FieldError>);

impl Fields {
    /// A field that must be there.
    pub(crate) fn required<'v, V: ?Sized, T, E: Display>(
        &mut self,
        name: &'static str,
        value: Option<&'v V>,
        parse: impl FnOnce(&'v V) -> Result<T, E>,
    ) -> Option<T> {
        if value.is_none() {
            self.missing(name);
        }
        self.optional(name, value, parse)
    }

    /// A field that may be missing or null.
    pub(crate) fn optional<'v, V: ?Sized, T, E: Display>(
        &mut self,
        name: &'static str,
        value: Option<&'v V>,
        parse: impl FnOnce(&'v V) -> Result<T, E>,
    ) -> Option<T> {
        match parse(value?) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.invalid(name, error);
                None
            }
        }
    }

    /// A field that must be there and is not.
    pub(crate) fn missing(&mut self, name: &'static str) {
        self.0.push(FieldError::new(name, "required", "this field is required"));
    }

    /// A field with something wrong.
    pub(crate) fn invalid(&mut self, name: impl Into<Cow<'static, str>>, message: impl Display) {
        self.0.push(FieldError::new(name, "invalid", message));
    }

    /// A field that this release does not serve yet.
    pub(crate) fn not_available(&mut self, name: &'static str, present: bool) {
        if present {
            self.0.push(FieldError::new(
                name,
                "not_available",
                "this field is not available in this release: leave it out",
            ));
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn problem(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::fields(self.0)) }
    }
}
