//! How hard a password would be to guess, and how to make it harder: zxcvbn's word, which is advice and decides nothing.

use super::Password;

/// What zxcvbn says of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordAdvice {
    /// From 0, guessed at once, to 4, guessed by nobody.
    pub score: u8,
    /// What is wrong with it.
    pub warning: Option<String>,
    /// How to make it better.
    pub suggestions: Vec<String>,
}

/// How much of a password is looked at: zxcvbn's work grows with the length faster than the length does.
const LOOKED_AT: usize = 100;

/// With more kinds of look-alikes than this, zxcvbn tries their readings for seconds.
const LOOK_ALIKES: usize = 8;

/// So much is looked at then, which takes milliseconds.
const LOOKED_AT_THEN: usize = 16;

impl PasswordAdvice {
    /// Passwords below this are worth a word of warning.
    pub const GOOD: u8 = 3;

    /// Looks at the password, and at `context`: words that whoever guesses knows. It takes up to tens of milliseconds, so it belongs off
    /// the threads that serve requests: [`PasswordHasher::advise`](super::PasswordHasher::advise).
    pub fn of(password: &Password, context: &[String]) -> Self {
        let context: Vec<&str> = context.iter().map(String::as_str).collect();
        let judged = zxcvbn::zxcvbn(looked_at(password.text()), &context);
        let feedback = judged.feedback();
        Self {
            score: judged.score() as u8,
            warning: feedback
                .and_then(zxcvbn::feedback::Feedback::warning)
                .map(|warning| warning.to_string()),
            suggestions: feedback
                .map(|feedback| feedback.suggestions().iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
        }
    }

    /// Whether there is something to say.
    pub const fn is_warning(&self) -> bool {
        self.score < Self::GOOD
    }
}

/// The beginning of a text that is looked at.
fn looked_at(text: &str) -> &str {
    let first = |count| text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end]);
    let mut kinds: Vec<char> = first(LOOKED_AT).chars().filter(|c| !c.is_alphabetic()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.len() > LOOK_ALIKES { first(LOOKED_AT_THEN) } else { first(LOOKED_AT) }
}

#[cfg(test)]
mod tests {
    use saas_core::Secret;

    use super::*;

    fn advice(text: &str, context: &[&str]) -> PasswordAdvice {
        let password = Password::new(&Secret::new(text.to_owned())).unwrap();
        PasswordAdvice::of(&password, &context.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_weak_password_is_told_why_and_a_strong_one_nothing() {
        let weak = advice("aaaaaaaaaaaaaaab", &[]);
        assert!(weak.is_warning() && weak.warning.is_some() && !weak.suggestions.is_empty(), "{weak:?}");
        let strong = advice("correct horse battery staple", &[]);
        assert_eq!((strong.score, strong.warning, strong.suggestions.len()), (4, None, 0));
        let known = ["analyticalengines"];
        assert!(advice("analyticalengines", &known).score < advice("analyticalengines", &[]).score);
        assert_eq!(advice("", &[]).score, 0);
    }

    #[test]
    fn what_would_take_seconds_is_cut_short() {
        let signs = "4@8({[<369&#!1/|0$5+7%2".repeat(5);
        assert_eq!(looked_at(&signs).chars().count(), LOOKED_AT_THEN);
        assert_eq!(looked_at(&"\u{e9}1".repeat(300)).chars().count(), LOOKED_AT);
        assert_eq!(looked_at("12345678"), "12345678");
        assert_eq!(looked_at("123456789abcdefghijkl").chars().count(), LOOKED_AT_THEN);
    }
}
