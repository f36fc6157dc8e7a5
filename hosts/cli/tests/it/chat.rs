//! `saas chat`, in process and with a server.
#![cfg(feature = "sqlite")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
};

use saas_auth::TotpSeed;

use serde_json::{Value, json};

use crate::harness::{Done, PASSWORD, Place, Server, Talk, signal, snapshots};

const EMAIL: &str = "ada@example.com";

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["chat", "--email", EMAIL, "--password-stdin"], more].concat()
}

/// Posts JSON to the server; what it answers.
fn post(server: &Server, path: &str, bearer: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "POST /api/v1/auth/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn from_base32(text: &str) -> Vec<u8> {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let value = |letter| letters.find(letter).unwrap();
    let bits: Vec<bool> =
        text.chars().flat_map(|letter| (0..5).rev().map(move |bit| value(letter) >> bit & 1 == 1)).collect();
    bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
}

/// Gives the user a second factor; its recovery codes.
fn add_second_factor(server: &Server) -> Vec<String> {
    let session = post(server, "token", "", &json!({ "email": EMAIL, "password": PASSWORD }));
    let access = session["access_token"].as_str().unwrap();
    let begun = post(server, "second-factor/totp", access, &json!({}));
    let seed = TotpSeed::from_bytes(&from_base32(begun["data"]["secret"].as_str().unwrap())).unwrap();
    let now = std::process::Command::new("date").arg("+%s").output().unwrap().stdout;
    let now = std::str::from_utf8(&now).unwrap().trim().parse().unwrap();
    let code = seed.code_at(chrono::DateTime::from_timestamp(now, 0).unwrap()).unwrap();
    let added = post(server, "second-factor/totp/confirm", access, &json!({ "code": code.expose() }));
    let codes = added["recovery_codes"].as_array().unwrap_or_else(|| panic!("{added}"));
    codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// Two messages; what was answered.
fn talk(place: &Place, more: &[&str]) -> Done {
    let stdin = format!("{PASSWORD}\nWhat is 6 * 7?\n\nHello\n");
    let done = place.run_on(&arguments(more), &stdin);
    assert_eq!(done.code, 0, "{done}");
    done
}

/// What a talk of two messages looks like, wherever it takes place.
fn assert_answers(place: &Place, more: &[&str]) {
    let words = talk(place, more);
    snapshots().bind(|| insta::assert_snapshot!("answers", words.stdout));
    let lines = talk(place, &[more, &["--output", "json", "--conversation", "homework"]].concat());
    let answers: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2, "{lines}");
    for answer in &answers {
        assert_eq!(
            (&answer["schema"], &answer["conversation_id"]),
            (&json!(1), &json!("homework")),
            "{lines}"
        );
        assert_eq!((&answer["status"], &answer["agent"]), (&json!("completed"), &json!("triage")), "{lines}");
    }
    assert!(answers[0]["answer"].as_str().unwrap().starts_with("That makes 42."), "{lines}");
    assert!(answers[1]["answer"].as_str().unwrap().contains("before it you said"), "{lines}");
}

#[test]
fn a_second_factor_is_taken_from_the_line_after_the_password() {
    let place = Place::empty();
    place.register(EMAIL);
    let server = Server::start(&place);
    let codes = add_second_factor(&server);
    let url = format!("http://{}/", server.address);
    let more = ["--server", url.as_str(), "--output", "json"];
    let without = place.run_on(&arguments(&more), &format!("{PASSWORD}\n"));
    assert_eq!(
        (without.code, without.error()["code"].clone()),
        (2, json!("second_factor_needed")),
        "{without}"
    );
    let wrong = place.run_on(&arguments(&more), &format!("{PASSWORD}\n0000-0000-0000-0000\n"));
    assert_eq!((wrong.code, wrong.error()["code"].clone()), (4, json!("invalid_second_factor")), "{wrong}");
    for (code, more) in [(&codes[0], &more[..]), (&codes[1], &more[2..])] {
        let done = place.run_on(&arguments(more), &format!("{PASSWORD}\n{code}\nHello\n"));
        assert_eq!((done.code, done.json()["status"].clone()), (0, json!("completed")), "{done}");
    }
    let (code, _) = server.stop("TERM");
    assert_eq!(code, Some(0));
}

#[test]
fn a_chat_in_process_answers_what_is_piped_in() {
    let place = Place::empty();
    place.register(EMAIL);
    assert_answers(&place, &[]);
}

#[test]
fn a_chat_with_a_server_answers_the_same() {
    let place = Place::empty();
    place.register(EMAIL);
    let server = Server::start(&place);
    let url = format!("http://{}/", server.address);
    assert_answers(&place, &["--server", &url]);
    let (code, log) = server.stop("TERM");
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn an_answer_is_written_as_it_comes_and_ctrl_c_exits_130() {
    let place = Place::empty();
    place.register(EMAIL);
    let server = Server::start(&place);
    let url = format!("http://{}", server.address);
    for more in [&[][..], &["--server", url.as_str()]] {
        let mut talk = Talk::start(place.command(&arguments(more)));
        talk.say(PASSWORD);
        talk.say("How do I begin?");
        let mut stdout = BufReader::new(talk.child.stdout.take().unwrap());
        let mut first = Vec::new();
        stdout.read_until(b' ', &mut first).unwrap();
        assert_eq!(first, b"You ");
        signal(&talk.child, "INT");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        let done = talk.end();
        assert_eq!(done.code, 130, "{done}");
        assert!(!rest.contains("set OPENAI_API_KEY"), "the answer went on to its end: {rest}");
    }
}

#[test]
fn waiting_for_a_line_ends_with_ctrl_c_and_with_a_reader_that_leaves() {
    let place = Place::empty();
    place.register(EMAIL);
    let mut talk = Talk::start(place.command(&arguments(&["--output", "json"])));
    talk.say(PASSWORD);
    talk.say("Hello");
    let mut stdout = BufReader::new(talk.child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    signal(&talk.child, "INT");
    let done = talk.end();
    assert_eq!((done.code, done.error()["code"].clone()), (130, json!("interrupted")), "{done}");

    let mut talk = Talk::start(place.command(&arguments(&[])));
    drop(talk.child.stdout.take());
    talk.say(PASSWORD);
    talk.say("Hello");
    let done = talk.end();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done}");
}

#[test]
fn whoever_may_not_talk_is_told_why() {
    let place = Place::empty();
    place.register(EMAIL);
    let server = Server::start(&place);
    let url = format!("http://{}", server.address);
    for more in [&[][..], &["--server", url.as_str()]] {
        let json = [&["--output", "json"], more].concat();
        let done = place.run_on(&arguments(&json), "wrong horse battery staple\n");
        assert_eq!((done.code, done.error()["code"].clone()), (4, json!("invalid_credentials")), "{done}");
        let unknown = [&["--agent", "nobody"], &json[..]].concat();
        let done = place.run_on(&arguments(&unknown), &format!("{PASSWORD}\nHello\n"));
        assert_eq!((done.code, done.error()["code"].clone()), (2, json!("unknown_agent")), "{done}");
    }
    let mut piped = place.command(&["chat", "--email", EMAIL]);
    let done = piped.stdin(Stdio::null()).output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    let away = place.run_on(
        &arguments(&["--server", "http://127.0.0.1:1", "--output", "json"]),
        &format!("{PASSWORD}\n"),
    );
    assert_eq!((away.code, away.error()["code"].clone()), (5, json!("server_unreachable")), "{away}");
}

#[test]
fn a_chat_leaves_no_session_behind() {
    let place = Place::empty();
    place.register(EMAIL);
    let server = Server::start(&place);
    let url = format!("http://{}", server.address);
    talk(&place, &[]);
    talk(&place, &["--server", &url]);
    let (_, log) = server.stop("TERM");
    let ended =
        log.lines().filter(|line| line.contains("session end asked for") && line.contains("true")).count();
    assert_eq!(ended, 1, "{log}");
}
