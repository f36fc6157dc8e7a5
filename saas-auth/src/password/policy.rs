//! What a new password must be.

use super::{
    Password,
    common::is_common,
    context::{ContextKind, ContextWords},
};

/// What new passwords must be, and what becomes of old ones that turn out to be known (NIST SP 800-63B-4 section 3.1.1.2, ASVS 5.0 section
/// 6.2). There is no rule for what characters a password is made of, and none has to be changed because it is old.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// The fewest characters of a password that stands alone.
    pub min_length: usize,
    /// The fewest characters where a second factor stands beside it.
    pub min_length_with_second_factor: usize,
    /// How many of a user's last passwords, the one they have among them, are not taken again; 0 looks at none.
    /// [`PasswordPolicy::MAX_HISTORY`] at most.
    pub history: u32,
    /// The product's name, and other words that no password may be made of.
    pub own_words: Vec<String>,
    /// What to do where nobody can be asked whether a password is known.
    pub when_unknown: WhenUnknown,
    /// What to do with who signs in with a password that is known.
    pub breached_at_sign_in: BreachedAtSignIn,
}

/// What to do where [`BreachedPasswords`](super::BreachedPasswords) cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnknown {
    /// Take the password: whoever registers does not wait for somebody else's service.
    Accept,
    /// Take none.
    Refuse,
}

/// What to do when the right password turns out to be one that others know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreachedAtSignIn {
    /// Do not look.
    Ignore,
    /// Let them in and say so, to them and in the audit log.
    Flag,
    /// Say so and let nobody in: they prove by mail who they are, and set another one.
    Refuse,
}

/// Why a new password is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakPassword {
    /// More bytes than any password has.
    #[error("use at most {} bytes", Password::MAX_BYTES)]
    TooLong,
    /// Too few characters.
    #[error("use at least {0} characters; a sentence is easy to remember")]
    TooShort(usize),
    /// The same few characters over and over.
    #[error("use more than the same few characters over and over")]
    Repeated,
    /// One of those that everybody tries first.
    #[error("this is a common password, or one with other characters around it: use another one")]
    Common,
    /// Made of a word of the account.
    #[error("{}", .0.advice())]
    Context(ContextKind),
    /// It is in a list of passwords that were stolen elsewhere.
    #[error("this password is in a list of stolen ones: use another one, here and wherever else you have it")]
    Breached,
    /// The user had it before.
    #[error("you had this password before: use another one")]
    Reused,
}

impl ContextKind {
    const fn advice(self) -> &'static str {
        match self {
            Self::Tenant => "this is little more than your tenant's name: use other words",
            Self::Product => "this is little more than the product's name: use other words",
            Self::Email => "this is little more than your e-mail address: use other words",
            Self::Name => "this is little more than your name: use other words",
        }
    }
}

impl WeakPassword {
    /// A stable word for programs, the code of the wrong field.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "password_too_long",
            Self::TooShort(_) => "password_too_short",
            Self::Repeated => "password_repetitive",
            Self::Common => "password_common",
            Self::Context(ContextKind::Tenant) => "password_has_tenant",
            Self::Context(ContextKind::Product) => "password_has_product",
            Self::Context(ContextKind::Email) => "password_has_email",
            Self::Context(ContextKind::Name) => "password_has_name",
            Self::Breached => "password_breached",
            Self::Reused => "password_reused",
        }
    }
}

impl Default for PasswordPolicy {
    /// 15 characters alone and 8 beside a second factor, no history; where nobody can be asked, a password is taken, and who signs in
    /// with a known one is told.
    fn default() -> Self {
        Self {
            min_length: 15,
            min_length_with_second_factor: 8,
            history: 0,
            own_words: Vec::new(),
            when_unknown: WhenUnknown::Accept,
            breached_at_sign_in: BreachedAtSignIn::Flag,
        }
    }
}

impl PasswordPolicy {
    /// The most former passwords that are looked at: comparing with one costs what a sign-in does.
    pub const MAX_HISTORY: u32 = 24;

    /// With another least length of passwords that stand alone.
    #[must_use]
    pub const fn with_min_length(mut self, characters: usize) -> Self {
        self.min_length = characters;
        self
    }

    /// With words that no password may be made of.
    #[must_use]
    pub fn with_own_words(mut self, words: Vec<String>) -> Self {
        self.own_words = words;
        self
    }

    /// Judges a new password by itself: neither by whose it is nor by who else has it.
    pub fn check(&self, password: &Password) -> Result<(), WeakPassword> {
        self.check_for(password, false, &ContextWords::default())
    }

    pub(crate) fn check_for(
        &self,
        password: &Password,
        second_factor: bool,
        words: &ContextWords,
    ) -> Result<(), WeakPassword> {
        let least = if second_factor { self.min_length_with_second_factor } else { self.min_length };
        if password.characters() < least {
            return Err(WeakPassword::TooShort(least));
        }
        if repeats(password.text()) {
            return Err(WeakPassword::Repeated);
        }
        if let Some(kind) = words.found_in(password) {
            return Err(WeakPassword::Context(kind));
        }
        if is_common(password) {
            return Err(WeakPassword::Common);
        }
        Ok(())
    }
}

/// Whether it is one to four characters over and over.
fn repeats(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (1..=4).any(|unit| {
        characters.len() >= 2 * unit
            && characters.iter().zip(&characters[unit..]).all(|(left, right)| left == right)
    })
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};
    use saas_core::Secret;

    use super::*;

    fn password(text: &str) -> Password {
        Password::new(&Secret::new(text.to_owned())).unwrap()
    }

    fn check(text: &str) -> Result<(), WeakPassword> {
        PasswordPolicy::default().check(&password(text))
    }

    #[test]
    fn fifteen_characters_stand_alone_and_eight_beside_a_second_factor() {
        let policy = PasswordPolicy::default();
        let none = ContextWords::default();
        let (fifteen, fourteen) = (password("zebra gulps ink"), password("zebra gulp ink"));
        assert_eq!(policy.check(&fifteen), Ok(()));
        assert_eq!(policy.check(&fourteen), Err(WeakPassword::TooShort(15)));
        assert_eq!(policy.check_for(&fourteen, true, &none), Ok(()));
        assert_eq!(policy.check_for(&password("zebra in"), true, &none), Ok(()));
        assert_eq!(policy.check_for(&password("zebra i"), true, &none), Err(WeakPassword::TooShort(8)));
    }

    #[test]
    fn no_character_is_asked_for_and_none_is_trimmed() {
        for good in [
            "zebragulpsblueink",
            "               z",
            "\u{1f98a}\u{1f999}\u{1f40b} and 12 bats",
            "\u{4e09}\u{6708}\u{5341}\u{4e94}\u{65e5}\u{306e}\u{5915}\u{65b9}\u{306b}\u{6d77}\u{3092}\u{898b}\u{305f}\u{3088}\u{306d}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_ne!(password(" zebra gulps ink").bytes(), password("zebra gulps ink").bytes());
    }

    #[test]
    fn a_code_point_counts_as_one_character() {
        assert_eq!(password("\u{1f98a}\u{e9}e\u{323}").characters(), 3);
        assert_eq!(
            check(&"\u{1f98a}\u{1f999}\u{1f40b}\u{1f989}\u{1f41d}".repeat(3)[..56]),
            Err(WeakPassword::TooShort(15))
        );
    }

    #[test]
    fn the_same_few_characters_over_and_over_are_refused() {
        for bad in ["aaaaaaaaaaaaaaaa", "abababababababab", "abcabcabcabcabca", "2026202620262026"] {
            assert_eq!(check(bad), Err(WeakPassword::Repeated), "{bad}");
        }
        assert_eq!(check("passwordpassword"), Err(WeakPassword::Common));
    }

    proptest! {
        #[test]
        fn what_is_typed_is_composed_once_and_nothing_else_is_done_to_it(typed in "\\PC{0,80}") {
            use unicode_normalization::UnicodeNormalization;
            let once = password(&typed);
            prop_assert_eq!(once.text(), typed.nfc().collect::<String>());
            let twice = password(once.text());
            prop_assert_eq!(twice.bytes(), once.bytes());
            let decomposed: String = typed.nfd().collect();
            let decomposed = password(&decomposed);
            prop_assert_eq!(decomposed.bytes(), once.bytes());
        }

        #[test]
        fn every_length_up_to_the_limit_is_taken_whole_and_every_longer_one_refused(bytes in 0_usize..1_200) {
            let taken = Password::new(&Secret::new("x".repeat(bytes)));
            prop_assert_eq!(taken.is_ok(), bytes <= Password::MAX_BYTES);
            prop_assert!(taken.is_err() || taken.is_ok_and(|password| password.bytes().len() == bytes));
        }

        #[test]
        fn any_text_is_judged_and_composing_it_first_changes_nothing(typed in "\\PC{0,60}", word in "\\PC{0,20}") {
            use unicode_normalization::UnicodeNormalization;
            let mut words = ContextWords::default();
            words.name(ContextKind::Tenant, &word);
            let judge = |text: &str| PasswordPolicy::default().check_for(&password(text), true, &words);
            prop_assert_eq!(judge(&typed), judge(&typed.nfc().collect::<String>()));
        }
    }
}
