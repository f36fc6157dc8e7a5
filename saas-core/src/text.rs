//! Short texts that people type: bounded, and free of what no engine or screen can bear.

use unicode_normalization::UnicodeNormalization;

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidText {
    /// Fewer characters than the least.
    #[error("too short: at least {0} characters")]
    TooShort(usize),
    /// More characters than the most.
    #[error("too long: at most {0} characters")]
    TooLong(usize),
    /// A control character, U+0000 among them (PostgreSQL cannot store it).
    #[error("control characters are not allowed")]
    Control,
}

/// Trims, composes (NFC) and checks a text of `min..=max` characters.
pub fn bounded(text: &str, min: usize, max: usize) -> Result<String, InvalidText> {
    let text: String = text.trim().nfc().collect();
    let length = text.chars().count();
    if length < min {
        return Err(InvalidText::TooShort(min));
    }
    if length > max {
        return Err(InvalidText::TooLong(max));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidText::Control);
    }
    Ok(text)
}

/// Declares a short text that people type: its name, its fewest and its most characters.
///
/// ```
/// saas_core::text! {
///     /// What a project is called.
///     pub ProjectName, 1, 64
/// }
/// assert!(ProjectName::parse("Apollo").is_ok() && ProjectName::parse("").is_err());
/// ```
#[macro_export]
macro_rules! text {
    ($(#[$doc:meta])* pub $name:ident, $min:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Parses it: trimmed, NFC, no control characters.
            pub fn parse(text: &str) -> Result<Self, $crate::InvalidText> {
                $crate::text::bounded(text, $min, $max).map(Self)
            }

            /// A text out of our own storage, which was parsed before it was written.
            pub fn from_stored(text: String) -> Self {
                Self(text)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// A tenant's name: 2 to 128 characters.
    pub TenantName, 2, 128
}
text! {
    /// How a person is called: 1 to 128 characters.
    pub DisplayName, 1, 128
}

/// Cuts a text that comes from outside and is only shown (a user agent) to `max` characters, with control characters replaced.
pub fn clip(text: &str, max: usize) -> String {
    // Most are like this one.
    if text.len() <= max && text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return text.to_owned();
    }
    text.chars().take(max).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
