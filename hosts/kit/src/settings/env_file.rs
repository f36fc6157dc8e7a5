//! Files of `NAME=value` lines.
//!
//! A line may begin with `export`. A value stands bare (up to a ` #`), in single quotes (as it is) or in double quotes (where `\n`,
//! `\r`, `\t`, `\"`, `\\` and `\$` mean what they do elsewhere). Nothing is expanded, and a value ends on its line.

/// A line that cannot be read: its number and why. Never what it says, which may be a secret.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct LineError {
    pub(super) line: usize,
    pub(super) what: &'static str,
}

/// The names and values of a file, or every line that is wrong.
pub(super) fn parse(text: &str) -> (Vec<(String, String)>, Vec<LineError>) {
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match parse_line(line.trim()) {
            Ok(Some(pair)) => values.push(pair),
            Ok(None) => {}
            Err(what) => errors.push(LineError { line: index + 1, what }),
        }
    }
    (values, errors)
}

fn parse_line(line: &str) -> Result<Option<(String, String)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (name, value) = line.split_once('=').ok_or("is not NAME=value")?;
    let name = name.trim_end();
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !starts || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("has a name that is not made of letters, digits and underscores");
    }
    parse_value(value.trim_start()).map(|value| Some((name.to_owned(), value)))
}

fn parse_value(text: &str) -> Result<String, &'static str> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let (value, rest) = quoted.split_once('\'').ok_or("has a quote that is not closed")?;
        return ends(rest).map(|()| value.to_owned());
    }
    if let Some(quoted) = text.strip_prefix('"') {
        return parse_double_quoted(quoted);
    }
    let comment = text.match_indices('#').map(|(at, _)| at);
    let end =
        comment.into_iter().find(|&at| at == 0 || text[..at].ends_with([' ', '\t'])).unwrap_or(text.len());
    Ok(text[..end].trim_end().to_owned())
}

fn parse_double_quoted(quoted: &str) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut rest = quoted.chars();
    loop {
        match rest.next().ok_or("has a quote that is not closed")? {
            '"' => return ends(rest.as_str()).map(|()| value),
            '\\' => value.push(match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(same @ ('"' | '\\' | '$')) => same,
                _ => return Err("has a backslash that means nothing here"),
            }),
            plain => value.push(plain),
        }
    }
}

fn ends(rest: &str) -> Result<(), &'static str> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(()) } else { Err("goes on after its closing quote") }
}

#[cfg(test)]
mod tests {
    use super::{LineError, parse};

    fn value(line: &str) -> String {
        let (values, errors) = parse(line);
        assert_eq!((values.len(), errors), (1, Vec::new()), "{line}");
        values.into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn every_way_to_write_a_value_is_read() {
        for (line, expected) in [
            ("A=1", "1"),
            ("\u{feff}A=1\r", "1"),
            ("  export  A = some words  # and a comment", "some words"),
            ("A=a#b", "a#b"),
            ("A= # nothing", ""),
            ("A=", ""),
            ("A='it is # $HOME \\n'  # comment", "it is # $HOME \\n"),
            (r#"A="say \"hi\"\n\$5 # \\""#, "say \"hi\"\n$5 # \\"),
            ("A=b=c", "b=c"),
            ("A=pass\"word", "pass\"word"),
            ("export=1", "1"),
        ] {
            assert_eq!(value(line), expected, "{line}");
        }
    }

    #[test]
    fn every_wrong_line_is_reported_by_its_number() {
        let (values, errors) = parse("# head\n\nA=1\nhunter2\n1B=2\nC='x\nD=\"x\\q\"\nE='x'y\nF=\"x\nA=2");
        assert_eq!(values, [("A".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())]);
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9]);
        assert_eq!(errors.first(), Some(&LineError { line: 4, what: "is not NAME=value" }));
        assert!(!format!("{errors:?}").contains("hunter2"));
    }
}
