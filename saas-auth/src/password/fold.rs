//! What passwords look like to whoever guesses: letters in one case, digits and signs that stand for letters as those letters.

/// In small letters, what looks like a letter as that letter, without what separates words. Two texts that fold alike are one guess.
///
/// `scripts/common-passwords` does the same; a test holds the two against each other.
pub(super) fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).map(looks_like).filter(|c| !separates(*c)).collect()
}

/// What is left without the digits and signs at both ends: `dragon` of `12dragon!!`.
pub(super) fn core(text: &str) -> &str {
    text.trim_matches(|c: char| !c.is_alphabetic())
}

const fn looks_like(c: char) -> char {
    match c {
        '0' => 'o',
        // Which of them is meant, nobody can tell.
        '1' | 'l' | '!' | '|' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        '9' => 'g',
        other => other,
    }
}

fn separates(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '_' | '.' | ',' | '\'' | '"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_folds_alike() {
        for (left, right) in [
            ("P4$$w0rd", "password"),
            ("I1l|!", "iiiii"),
            ("Analytical-Engines", "analytical engines"),
            ("ZOË", "zoë"),
        ] {
            assert_eq!(folded(left), folded(right));
        }
        assert_ne!(folded("password"), folded("passwort"));
    }

    #[test]
    fn a_core_is_what_digits_and_signs_are_put_around() {
        for (text, left) in [
            ("12dragon!!", "dragon"),
            ("dragon", "dragon"),
            ("dr4gon2", "dr4gon"),
            ("2026!", ""),
            ("é1", "é"),
        ] {
            assert_eq!(core(text), left);
        }
    }
}
