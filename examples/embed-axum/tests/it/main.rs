//! The README's program, as whoever pastes it sees it.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails, and the message says where")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

/// Ends the program, however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn the_readme_shows_the_program_that_is_tested_here() {
    let (readme, program) = (include_str!("../../../../README.md"), include_str!("../../src/bin/link-it.rs"));
    assert!(readme.contains(&format!("```rust\n{program}```\n")), "README.md and src/bin/link-it.rs differ");
}

#[test]
fn its_own_route_answers_beside_the_products() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let program = Command::new(env!("CARGO_BIN_EXE_link-it"))
        .current_dir(folder.path())
        .env_clear()
        .env("SAAS_PORT", "0")
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut running = Running(program);
    let mut said = String::new();
    let mut stderr = BufReader::new(running.0.stderr.take().expect("stderr is piped"));
    stderr.read_line(&mut said).expect("it says where it listens");
    let address = said.trim().strip_prefix("listening on http://").expect("an address");
    assert!(get(address, "/mine").ends_with("\r\n\r\nmine"));
    let me = get(address, "/api/v1/auth/me");
    assert!(me.starts_with("HTTP/1.1 401") && me.contains("\"code\":\"unauthenticated\""), "{me}");
}
