//! Tables of Markdown on stdout, progress on stderr.

use std::io::{self, Write};

/// A table that grows by rows and is shown when it is whole.
#[derive(Debug)]
pub(crate) struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) const fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn add<const N: usize>(&mut self, row: [String; N]) {
        self.rows.push(row.into());
    }

    /// Shows it under a heading, unless it is empty.
    pub(crate) fn show(&self, heading: &str) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "\n### {heading}\n")?;
        writeln!(out, "| {} |", self.columns.join(" | "))?;
        writeln!(out, "|{}", " --- |".repeat(self.columns.len()))?;
        for row in &self.rows {
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

/// Says on stderr what goes on.
pub(crate) fn progress(what: &str) {
    // Nobody may be reading.
    let _ = writeln!(io::stderr(), "load: {what}");
}

/// The one in the middle.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// With so many figures that the last one means something.
pub(crate) fn number(number: f64) -> String {
    if number >= 1000.0 {
        grouped(&format!("{number:.0}"))
    } else if number >= 100.0 {
        format!("{number:.0}")
    } else if number >= 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    }
}

/// Digits, by thousands.
fn grouped(digits: &str) -> String {
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b',')).into_owned()
}

/// A part as percent.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}
