//! What the guides for maintainers quote and name is there.

use std::{fs, path::Path};

const GUIDES: [&str; 4] =
    ["docs/adding-an-endpoint.md", "docs/adding-an-adapter.md", "docs/glossary.md", "CONTRIBUTING.md"];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Without the indentation, which a quotation need not keep.
fn flat(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_quotation_stands_in_the_file_that_it_names() {
    let mut quotations = 0;
    for guide in GUIDES {
        let text = read(guide);
        for block in text.split("```").skip(1).step_by(2) {
            let (head, quoted) = block.split_once('\n').expect("a block has lines");
            let Some((_, source)) = head.split_once(' ') else { continue };
            assert!(flat(&read(source)).contains(flat(quoted).trim()), "{guide}, of {source}:\n{quoted}");
            quotations += 1;
        }
    }
    assert!(quotations > 5, "{quotations}");
}

#[test]
fn every_file_that_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut named = 0;
    for guide in GUIDES {
        let text = read(guide);
        let prose: String = text.split("```").step_by(2).collect();
        for code in prose.split('`').skip(1).step_by(2) {
            let is_path =
                code.contains('/') && !code.contains([' ', '<', '{', '…', ':']) && !code.starts_with('/');
            if is_path {
                assert!(root.join(code).exists(), "{guide} names {code}");
                named += 1;
            }
        }
    }
    assert!(named > 50, "{named}");
}
