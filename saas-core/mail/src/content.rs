//! A letter in words: what both templates lay out.

/// What a mail says, part by part. Its texts are plain; the templates escape them where they have to.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) subject: String,
    pub(crate) greeting: Option<String>,
    pub(crate) paragraphs: Vec<String>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) action: Option<Action>,
    pub(crate) closing: Vec<String>,
    /// Why the mail came.
    pub(crate) reason: String,
    /// Where to ask.
    pub(crate) help: Option<String>,
}

/// A line of a table.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// Something to follow.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) label: &'static str,
    pub(crate) url: String,
    /// What stands before the address for whoever cannot follow the button.
    pub(crate) by_hand: &'static str,
}

/// A text that somebody chose for themselves, as it may stand in a mail to somebody else: programs make no link of it.
///
/// A name is a way to have us send others what its owner wants them to follow. A word joiner after what makes an address an address
/// cannot be seen, and no program finds an address then.
pub(crate) fn unlinked(text: &str) -> String {
    const WORD_JOINER: char = '\u{2060}';
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if matches!(c, '.' | ':' | '/' | '@') && chars.peek().is_some_and(|next| !next.is_whitespace()) {
            out.push(WORD_JOINER);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::unlinked;

    #[test]
    fn a_name_that_looks_like_an_address_is_none() {
        assert_eq!(unlinked("Analytical Engines Ltd. & Co."), "Analytical Engines Ltd. & Co.");
        assert_eq!(unlinked("https://evil.example"), "https:\u{2060}/\u{2060}/\u{2060}evil.\u{2060}example");
        assert_eq!(unlinked("a@b.c"), "a@\u{2060}b.\u{2060}c");
    }
}
