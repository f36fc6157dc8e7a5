//! Words that whoever guesses one account's password tries first: of its tenant, its address, its owner, the product.

use saas_core::{DisplayName, Email};

use super::{Password, fold::folded};

/// What a word is of. It is told to whoever chose the password, the word is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextKind {
    /// The tenant's name.
    Tenant,
    /// The product's name, or another word that its operator does not want to see.
    Product,
    /// The e-mail address.
    Email,
    /// The user's own name.
    Name,
}

/// The words of one account, folded.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContextWords(Vec<(ContextKind, String)>);

/// Shorter words are in too many passwords to say anything.
const SHORTEST: usize = 4;

/// A password that has this much beside such words is not made of them.
const ENOUGH_BESIDE: usize = 8;

impl ContextWords {
    /// Adds a name: as a whole, and each word of it.
    pub(crate) fn name(&mut self, kind: ContextKind, name: &str) {
        self.word(kind, name);
        name.split(|c: char| !c.is_alphanumeric()).for_each(|part| self.word(kind, part));
    }

    /// Adds an address: its local part and its parts, and its domain's labels but the last, which says nothing about anybody.
    pub(crate) fn email(&mut self, email: &Email) {
        // As it is stored, and as it was typed: a domain's label can have two forms.
        for address in [email.as_str(), email.shown()] {
            let Some((local, domain)) = address.rsplit_once('@') else { continue };
            self.name(ContextKind::Email, local);
            if let Some((labels, _)) = domain.rsplit_once('.') {
                labels.split('.').for_each(|label| self.name(ContextKind::Email, label));
            }
        }
    }

    /// Adds a user's own name.
    pub(crate) fn display_name(&mut self, name: Option<&DisplayName>) {
        if let Some(name) = name {
            self.name(ContextKind::Name, name.as_str());
        }
    }

    fn word(&mut self, kind: ContextKind, word: &str) {
        let word = folded(word);
        if word.chars().count() >= SHORTEST && !self.0.iter().any(|(_, known)| *known == word) {
            self.0.push((kind, word));
        }
    }

    /// What the password is made of, if it is made of these words and little else.
    pub(crate) fn found_in(&self, password: &Password) -> Option<ContextKind> {
        let mut rest = folded(password.text());
        // The longest first, or `engine` would leave the rest of `engines`.
        let mut words: Vec<_> = self.0.iter().collect();
        words.sort_by_key(|(_, word)| std::cmp::Reverse(word.chars().count()));
        let mut found = None;
        for (kind, word) in words {
            if rest.contains(word.as_str()) {
                // A mark between what stood around it, lest that become a word.
                rest = rest.replace(word.as_str(), "\u{0}");
                found = found.or(Some(*kind));
            }
        }
        let beside = rest.chars().filter(|c| *c != '\u{0}').count();
        found.filter(|_| beside < ENOUGH_BESIDE)
    }

    /// The words, for advice that takes them for the worst of guesses.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(_, word)| word.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use saas_core::Secret;

    use super::*;

    fn found(password: &str) -> Option<ContextKind> {
        let mut words = ContextWords::default();
        words.email(&Email::parse("ada.lovelace+news@b\u{fc}cher.example.com").unwrap());
        words.name(ContextKind::Tenant, "Analytical Engines, Inc");
        words.name(ContextKind::Product, "Acme");
        words.display_name(Some(&DisplayName::parse("Augusta King").unwrap()));
        words.found_in(&Password::new(&Secret::new(password.to_owned())).unwrap())
    }

    #[test]
    fn a_password_of_words_of_the_account_says_which_kind_they_are() {
        for (password, kind) in [
            ("AnalyticalEngines2026", ContextKind::Tenant),
            ("4n4lyt1c4l engines!!", ContextKind::Tenant),
            ("acme-acme-acme-acme", ContextKind::Product),
            ("L0velace_1815!!", ContextKind::Email),
            ("b\u{fc}cher b\u{fc}cher 7", ContextKind::Email),
            ("example12345", ContextKind::Email),
            ("augusta-king-1852", ContextKind::Name),
            ("ada.lovelace@acme", ContextKind::Email),
        ] {
            assert_eq!(found(password), Some(kind), "{password}");
        }
    }

    #[test]
    fn a_word_with_enough_beside_it_says_nothing() {
        for password in [
            "acme sells nine blue umbrellas",
            "ada ada ada ada ada",
            "com inc news king pin pan",
            "analyticbrownfoxes",
        ] {
            assert_eq!(found(password), None, "{password}");
        }
        assert_eq!(found("acme 1234567"), Some(ContextKind::Product), "seven beside it");
        assert_eq!(found("acme 12345678"), None, "eight beside it");
    }
}
