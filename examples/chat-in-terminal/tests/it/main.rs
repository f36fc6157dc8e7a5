//! The example as somebody at a terminal sees it.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails, and the message says where")]

use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

/// Runs it with these lines typed; what it printed.
fn typed(file: &Path, lines: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_chat-in-terminal"))
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = program.stdin.take().expect("stdin is piped");
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    let output = program.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn it_answers_and_remembers_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("chat.db");
    let first = typed(&file, "What is 6 * 7?\n\n/quit\nnever read\n");
    assert!(first.starts_with("0 messages in ") && first.contains("> That makes 42. "), "{first}");
    assert!(first.ends_with("> > "), "an empty line asks nothing, and nothing is read after /quit: {first}");
    let second = typed(&file, "Who am I?\n");
    assert!(second.starts_with("2 messages in "), "{second}");
    assert!(second.contains("before it you said \"What is 6 * 7?\""), "{second}");
}

#[test]
fn what_was_left_half_way_ends_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("chat.db");
    let mut program = Command::new(env!("CARGO_BIN_EXE_chat-in-terminal"))
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = program.stdin.take().expect("stdin is piped");
    input.write_all(b"What is 6 * 7?\n").expect("it reads");
    let mut output = program.stdout.take().expect("stdout is piped");
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(b"> That ") {
        output.read_exact(&mut byte).expect("it answers");
        said.push(byte[0]);
    }
    program.kill().expect("it answers still");
    program.wait().expect("it ends");
    let next = typed(&file, "Who am I?\n");
    assert!(next.contains("before it you said \"What is 6 * 7?\""), "{next}");
}
