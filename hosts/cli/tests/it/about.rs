//! What the program says of itself.

use std::process::Stdio;

use crate::harness::{Place, snapshots};

#[test]
fn the_version_is_data() {
    let place = Place::empty();
    assert_eq!(place.run(&["version"]).stdout, concat!("saas ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(place.run(&["--version"]).stdout, concat!("saas ", env!("CARGO_PKG_VERSION"), "\n"));
    let json = place.run(&["version", "--output", "json"]).json();
    assert_eq!(
        json,
        serde_json::json!({ "schema": 1, "name": "saas", "version": env!("CARGO_PKG_VERSION") })
    );
}

#[test]
fn the_api_is_described_as_the_server_describes_it() {
    let done = Place::empty().run(&["openapi"]);
    let description: serde_json::Value = serde_json::from_str(&done.stdout).expect("it is JSON");
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description, serde_json::to_value(saas_http::openapi()).unwrap());
}

#[test]
fn every_shell_gets_completions() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = place.run(&["completions", shell]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{shell}: {done}");
        assert!(done.stdout.contains("saas") && done.stdout.contains("rotate"), "{shell}: {done}");
    }
    assert_eq!(place.run(&["completions", "tcsh"]).code, 2);
}

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::empty();
    let one = place.run(&["man"]);
    assert!(one.code == 0 && one.stdout.contains(".TH saas 1"), "{one}");
    let all = place.run(&["man", "--dir", "pages/man1"]);
    assert_eq!((all.code, all.stdout.as_str(), all.stderr.as_str()), (0, "", ""));
    let folder = place.path().join("pages/man1");
    let mut pages: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains("-help"))
        .collect();
    pages.sort();
    insta::assert_snapshot!(pages.join("\n"));
    std::fs::write(place.path().join("file"), "").unwrap();
    let refused = place.run(&["man", "--dir", "file"]);
    assert_eq!(refused.code, 1);
    snapshots().bind(|| insta::assert_snapshot!(refused.stderr));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let place = Place::empty();
    for arguments in [&["openapi"][..], &["config", "schema"], &["completions", "bash"], &["--help"]] {
        let mut child = place.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn nothing_is_left_behind_by_commands_that_only_talk() {
    let place = Place::empty();
    for arguments in [
        &["version"][..],
        &["openapi"],
        &["config", "schema"],
        &["config", "show"],
        &["config", "check"],
        &["migrate", "--plan"],
    ] {
        assert_eq!(place.run(arguments).code, 0, "{arguments:?}");
    }
    assert_eq!(place.path().read_dir().unwrap().count(), 0);
}
