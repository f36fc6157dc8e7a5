//! `docs/operations/metrics.md` says what the catalogue says.

use std::{fmt::Write, fs};

use saas_http::metrics::{CATALOGUE, Kind, Values};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations/metrics.md");
/// What stands between the words that are written by hand and the table, on either side.
const BEGIN: &str = "<!-- Generated from hosts/http/src/metrics/catalogue.rs: change that, then run\n";
const END: &str = "<!-- End of what is generated. -->";
const UPDATE: &str = "SAAS_UPDATE_DOCS=1 cargo test -p saas-http --test it metrics_page";

#[test]
fn the_metrics_page_is_the_catalogues() {
    let written = fs::read_to_string(PAGE).expect("the page is there");
    let (before, rest) = written.split_once(BEGIN).expect("the page has the mark before its table");
    let (_, after) = rest.split_once(END).expect("the page has the mark after its table");
    let generated = format!("{before}{BEGIN}{UPDATE} -->\n\n{}\n{END}{after}", table());
    if std::env::var_os("SAAS_UPDATE_DOCS").is_some() {
        fs::write(PAGE, &generated).expect("the page can be written");
    }
    let written = fs::read_to_string(PAGE).expect("the page is there");
    assert!(written == generated, "docs/operations/metrics.md is not what the catalogue says: run {UPDATE}");
}

fn table() -> String {
    let mut table = "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for metric in CATALOGUE {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| match label.values {
                Values::Listed(values) => {
                    let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                    format!("`{}`: {}", label.name, values.join(", "))
                }
                Values::OfTheProgram(words) => format!("`{}`: {words}", label.name),
                _ => format!("`{}`", label.name),
            })
            .collect();
        let (name, kind, help) = (metric.name, metric.kind.as_str(), metric.help);
        let _ = writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels.join("; "));
    }
    table
}

#[test]
fn every_list_of_buckets_rises() {
    for metric in CATALOGUE {
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(!buckets.is_empty() && buckets.is_sorted_by(|a, b| a < b), "{}", metric.name);
        }
    }
}

/// The alerts of the page ask for metrics that there are.
#[test]
fn every_metric_that_the_page_asks_for_is_there() {
    let written = fs::read_to_string(PAGE).expect("the page is there");
    let mut asked = 0;
    for expression in written.lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
        for name in expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            if ["http_", "saas_", "jwt_", "process_"].iter().any(|prefix| name.starts_with(prefix)) {
                let known = CATALOGUE.iter().any(|metric| {
                    let suffix = name.strip_prefix(metric.name);
                    suffix.is_some_and(|suffix| ["", "_bucket", "_sum", "_count"].contains(&suffix))
                });
                assert!(known, "{name} in {expression}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 3, "{asked}");
}
