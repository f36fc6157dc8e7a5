//! `docs/security/asvs.md` names tests that there are, for every requirement that the page is about.

use std::{collections::BTreeSet, fs, path::Path};

const PAGE: &str = include_str!("../../../../docs/security/asvs.md");

/// The requirements that the page has to have a line for, as `chapter.section`: `first-last`.
const REQUIREMENTS: [(&str, &[(u32, u32)]); 34] = [
    ("2.3", &[(3, 4)]),
    ("2.4", &[(1, 1)]),
    ("3.3", &[(1, 5)]),
    ("3.5", &[(1, 3)]),
    ("3.7", &[(2, 2)]),
    ("4.1", &[(3, 3)]),
    ("6.1", &[(1, 3)]),
    ("6.2", &[(1, 12)]),
    ("6.3", &[(1, 8)]),
    ("6.4", &[(1, 6)]),
    ("6.5", &[(1, 8)]),
    ("6.6", &[(1, 4)]),
    ("6.7", &[(1, 2)]),
    ("6.8", &[(1, 4)]),
    ("7.1", &[(1, 3)]),
    ("7.2", &[(1, 4)]),
    ("7.3", &[(1, 2)]),
    ("7.4", &[(1, 5)]),
    ("7.5", &[(1, 3)]),
    ("7.6", &[(1, 2)]),
    ("8.1", &[(1, 4)]),
    ("8.2", &[(1, 4)]),
    ("8.3", &[(1, 3)]),
    ("8.4", &[(1, 2)]),
    ("9.1", &[(1, 3)]),
    ("9.2", &[(1, 4)]),
    ("10.1", &[(1, 2)]),
    ("10.2", &[(1, 3)]),
    ("10.3", &[(1, 5)]),
    ("10.4", &[(1, 16)]),
    ("10.5", &[(1, 5)]),
    ("10.6", &[(1, 2)]),
    ("10.7", &[(1, 3)]),
    ("11.4", &[(2, 2)]),
];

/// Those of the chapters that one or two are of.
const OTHERS: [&str; 10] =
    ["11.5.1", "13.3.1", "13.3.2", "13.3.3", "13.3.4", "14.3.2", "15.4.2", "16.2.5", "16.3.1", "16.3.2"];

/// The lines of the tables: the ids, and what stands for them.
fn lines() -> Vec<(BTreeSet<String>, &'static str)> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| "));
    let rows = rows.filter(|row| row.starts_with(|c: char| c.is_ascii_digit()));
    let line = |row: &'static str| {
        let mut cells = row.trim_end_matches('|').splitn(4, " | ");
        let ids = cells.next().expect("a cell").split(", ").flat_map(|ids| match ids.split_once(" – ") {
            None => vec![ids.trim().to_owned()],
            Some((first, last)) => {
                let (section, first) = first.rsplit_once('.').expect("an id");
                let last = last.trim().rsplit_once('.').expect("an id").1;
                let (first, last): (u32, u32) =
                    (first.parse().expect("a number"), last.parse().expect("a number"));
                (first..=last).map(|number| format!("{section}.{number}")).collect()
            }
        });
        let level = cells.next().and_then(|level| level.trim().parse().ok());
        assert!(level.is_some_and(|level: u8| (1..=3).contains(&level)), "{row}");
        assert!(cells.next().is_some_and(|about| !about.trim().is_empty()), "{row}");
        (ids.collect(), cells.next().unwrap_or_else(|| panic!("{row}")))
    };
    rows.map(line).collect()
}

#[test]
fn the_page_has_one_line_for_every_requirement() {
    let mut wanted: BTreeSet<String> = OTHERS.iter().map(|id| (*id).to_owned()).collect();
    wanted.insert("16.3.3".to_owned());
    for (section, ranges) in REQUIREMENTS {
        for (first, last) in ranges {
            wanted.extend((*first..=*last).map(|number| format!("{section}.{number}")));
        }
    }
    let mut found = BTreeSet::new();
    for (ids, here) in lines() {
        assert!(here.trim().len() > 5, "{ids:?} says nothing");
        for id in ids {
            assert!(found.insert(id.clone()), "{id} has two lines");
        }
    }
    assert_eq!(found, wanted);
}

/// The names of all functions under a folder that are tests, or that a macro makes tests of.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if entry.is_dir() {
            if !matches!(name.as_str(), "target" | ".git" | "node_modules" | "docs") {
                functions(&entry, found);
            }
        } else if entry.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&entry).expect("a source");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut there = BTreeSet::new();
    functions(&root, &mut there);
    let mut named = BTreeSet::new();
    for (ids, here) in lines() {
        for code in here.split('`').skip(1).step_by(2) {
            // Tests are sentences.
            let is_test = code.matches('_').count() >= 4
                && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if is_test {
                assert!(there.contains(code), "{ids:?} names {code}, which is no test");
                named.insert(code);
            }
        }
        for link in here.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(root.join("docs/security").join(link).exists(), "{ids:?} links to {link}");
        }
    }
    assert!(named.len() > 80, "{}", named.len());
}
