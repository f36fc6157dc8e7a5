//! Text for a terminal: columns, paragraphs, and nothing that would steer it.

/// The text without control characters but line ends and tabs: what others wrote must not move the cursor.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Rows under their headings, each column as wide as its widest cell; the last one is not padded.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
        format!("{}\n", padded.collect::<String>().trim_end())
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    line(headings) + &rows.collect::<String>()
}

/// Names and values, one pair a line.
pub(crate) fn pairs<'a>(pairs: impl AsRef<[(&'a str, &'a str)]>) -> String {
    let pairs = pairs.as_ref();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines(pairs.iter().map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned()))
}

/// Each on a line of its own.
pub(crate) fn lines<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let mut lines = String::new();
    for text in texts {
        lines.push_str(text.as_ref());
        lines.push('\n');
    }
    lines
}

/// A paragraph broken at `width` columns, every line indented.
pub(crate) fn paragraph(text: &str, indent: usize, width: usize) -> String {
    let margin = " ".repeat(indent);
    let mut broken: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match broken.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => broken.push(format!("{margin}{word}")),
        }
    }
    lines(broken)
}

/// `1 thing`, `2 things`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// `core/1-4, auth/2` for `core/1`, `core/2`, `core/3`, `core/4`, `auth/2`: an empty database lacks all there are.
pub(crate) fn spans(pending: &[String]) -> String {
    let mut spans: Vec<(&str, &str, &str)> = Vec::new();
    for (component, version) in pending.iter().filter_map(|label| label.split_once('/')) {
        match spans.last_mut() {
            Some((last, _, to)) if *last == component => *to = version,
            _ => spans.push((component, version, version)),
        }
    }
    let span = |(component, from, to): &(&str, &str, &str)| {
        if from == to { format!("{component}/{from}") } else { format!("{component}/{from}-{to}") }
    };
    spans.iter().map(span).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["1".to_owned(), "é".to_owned()], ["22222".to_owned(), "b".to_owned()]];
        assert_eq!(table(["ID", "NAME"], &rows), "ID     NAME\n1      é\n22222  b\n");
    }

    #[test]
    fn a_paragraph_stays_within_its_width() {
        assert_eq!(paragraph("one two  three", 2, 9), "  one two\n  three\n");
        assert_eq!(paragraph("", 2, 9), "");
    }

    #[test]
    fn versions_that_follow_each_other_are_one_span() {
        let pending = ["core/1", "core/2", "core/3", "auth/2"].map(str::to_owned);
        assert_eq!(spans(&pending), "core/1-3, auth/2");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\n\tc\u{9b}d"), "a[2Jb\n\tcd");
    }
}
