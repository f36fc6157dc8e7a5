//! Slugs: the readable names of tenants in URLs.

use std::fmt;

use serde::Serialize;

/// Lower-case letters, digits and single hyphens inside, 1 to 60 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

/// A text that is not a slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a slug holds 1 to 60 lower-case letters, digits and single hyphens between them")]
pub struct InvalidSlug;

impl Slug {
    /// The greatest length, in characters.
    pub const MAX: usize = 60;

    /// Parses a slug.
    pub fn parse(text: &str) -> Result<Self, InvalidSlug> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let hyphens_inside = !text.starts_with('-') && !text.ends_with('-') && !text.contains("--");
        if text.is_empty() || text.len() > Self::MAX || !text.chars().all(plain) || !hyphens_inside {
            return Err(InvalidSlug);
        }
        Ok(Self(text.to_owned()))
    }

    /// The slug that a name suggests; `tenant` when nothing of it can stay.
    pub fn from_name(name: &str) -> Self {
        Self(shorten(&hyphenate(name), Self::MAX))
    }

    /// This slug with a suffix, as `name-3f9a`, for when the plain one is taken.
    #[must_use]
    pub fn with_suffix(&self, suffix: [u8; 2]) -> Self {
        let [a, b] = suffix;
        Self(format!("{}-{a:02x}{b:02x}", shorten(&self.0, Self::MAX - 5)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn hyphenate(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug
}

fn shorten(slug: &str, max: usize) -> String {
    let cut = slug[..slug.len().min(max)].trim_end_matches('-');
    if cut.is_empty() { "tenant".to_owned() } else { cut.to_owned() }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_a_name_suggests_is_a_slug(name in "\\PC{0,200}", suffix: [u8; 2]) {
            let slug = Slug::from_name(&name);
            proptest::prop_assert_eq!(Slug::parse(slug.as_str()), Ok(slug.clone()));
            let suffixed = slug.with_suffix(suffix);
            proptest::prop_assert_eq!(Slug::parse(suffixed.as_str()), Ok(suffixed.clone()));
        }
    }

    #[test]
    fn a_name_becomes_its_slug() {
        for (name, slug) in
            [("Analytical Engines, Ltd.", "analytical-engines-ltd"), ("日本", "tenant"), ("--a--", "a")]
        {
            assert_eq!(Slug::from_name(name).as_str(), slug);
        }
    }
}
