//! Prometheus' own tool judges what is served.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use saas_kit::testing::TestEngine;

use super::{recorded, scrape, start, traffic};

#[cfg(feature = "sqlite")]
#[test]
fn promtool_finds_nothing_wrong_with_what_is_served() {
    recorded(|handle| async move {
        let api = start(TestEngine::Sqlite, &handle, []).await;
        traffic(&api).await;
        let (passed, said) = check(&scrape(&api).await.raw);
        assert!(passed && said.is_empty(), "{said}");
    });
}

/// A judge that finds nothing anywhere would be none.
#[test]
fn promtool_finds_what_is_wrong() {
    let (passed, said) = check("# TYPE wrong_count counter\nwrong_count 1\n");
    assert!(!passed && said.contains("wrong_count"), "{said}");
}

fn check(text: &str) -> (bool, String) {
    let promtool = std::env::var("SAAS_TEST_PROMTOOL").expect(
        "SAAS_TEST_PROMTOOL names no promtool: run under scripts/with-services, which finds it or installs Debian's package `prometheus`",
    );
    let child = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{promtool} does not start: {error}"));
    let mut stdin = child.stdin.take().expect("the input is a pipe");
    stdin.write_all(text.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
