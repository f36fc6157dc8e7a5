//! Prometheus' text format 0.0.4, as far as tests look into it.

use std::collections::{BTreeMap, BTreeSet};

/// One scrape.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) raw: String,
    pub(super) metrics: BTreeMap<String, Metric>,
    values: BTreeMap<String, f64>,
}

#[derive(Debug, Default)]
pub(super) struct Metric {
    pub(super) help: String,
    pub(super) kind: String,
    /// The labels of each series; `le` is a histogram's own.
    pub(super) series: BTreeSet<BTreeMap<String, String>>,
}

impl Text {
    pub(super) fn read(raw: &str) -> Self {
        let mut text = Self { raw: raw.to_owned(), ..Self::default() };
        let mut current = String::new();
        for line in raw.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help has a text");
                name.clone_into(&mut current);
                assert!(!text.metrics.contains_key(name), "{name} is there twice");
                help.clone_into(&mut text.metrics.entry(current.clone()).or_default().help);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a word");
                assert_eq!(name, current, "a metric without a help");
                kind.clone_into(&mut text.metrics.entry(current.clone()).or_default().kind);
            } else {
                text.sample(line, &current);
            }
        }
        text
    }

    fn sample(&mut self, line: &str, of: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let plain = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert!(name == of || plain == Some(of), "{line} stands under {of}");
        // No value of ours has a quote or a comma within.
        let labels =
            labels.strip_suffix('}').expect("labels end").split(',').filter(|label| !label.is_empty());
        let labels: BTreeMap<String, String> = labels
            .map(|label| {
                let (name, value) = label.split_once('=').expect("a label has a value");
                (name.to_owned(), value.trim_matches('"').to_owned())
            })
            .collect();
        let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let shown = if shown.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", shown.join(",")) };
        let twice = self.values.insert(shown, value.parse().expect("a value is a number"));
        assert!(twice.is_none(), "{line} is there twice");
        let series = labels.into_iter().filter(|(name, _)| name != "le").collect();
        self.metrics.entry(of.to_owned()).or_default().series.insert(series);
    }

    /// The value of a series, its labels sorted.
    pub(super) fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    pub(super) fn series(&self) -> Vec<&str> {
        self.values.keys().map(String::as_str).collect()
    }

    /// Names, kinds and labels, values masked.
    pub(super) fn shape(&self) -> String {
        let line = |(name, metric): (&String, &Metric)| {
            let labels: BTreeSet<&str> =
                metric.series.iter().flat_map(|series| series.keys().map(String::as_str)).collect();
            format!("{} {name} {{{}}}\n", metric.kind, labels.into_iter().collect::<Vec<_>>().join(", "))
        };
        self.metrics.iter().map(line).collect()
    }
}
