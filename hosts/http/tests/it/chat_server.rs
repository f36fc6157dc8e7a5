//! Chat with the program over TCP: streams arrive bit by bit, outlive their clients, and are followed from another server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use saas_kit::testing::{TestDatabase, TestEngine};
use serde_json::{Value, json};

use crate::{
    frames::{Frame, frames},
    harness::{on_both_engines, registration},
    program::{Program, program},
};

on_both_engines! {
    a_stream_arrives_bit_by_bit,
    a_client_that_is_killed_resumes_byte_for_byte,
    a_killed_server_leaves_an_interrupted_run_and_a_conversation_that_goes_on,
}

/// A stream, read from the connection as it comes.
struct Stream {
    reader: BufReader<TcpStream>,
    head: String,
    seen: String,
}

impl Stream {
    fn open(server: &Program, token: &str, method: &str, path: &str, more: &str, body: &str) -> Self {
        let mut connection = TcpStream::connect(&server.address).expect("the program listens");
        let length = body.len();
        write!(
            connection,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n{body}"
        )
        .expect("the connection takes bytes");
        let mut stream =
            Self { reader: BufReader::new(connection), head: String::new(), seen: String::new() };
        while !stream.head.ends_with("\r\n\r\n") {
            let mut line = String::new();
            assert!(stream.reader.read_line(&mut line).is_ok_and(|read| read > 0), "{}", stream.head);
            stream.head += &line;
        }
        assert!(stream.head.starts_with("HTTP/1.1 200 "), "{}", stream.head);
        stream
    }

    fn ask(server: &Program, token: &str, message: &str) -> Self {
        let body = json!({ "message": message, "conversation_id": "homework" }).to_string();
        Self::open(server, token, "POST", "/api/v1/chat/stream", "", &body)
    }

    fn resume(server: &Program, token: &str, path: &str, id: &str) -> Self {
        Self::open(server, token, "GET", path, &format!("Last-Event-ID: {id}\r\n"), "")
    }

    fn location(&self) -> String {
        let lines = self.head.lines();
        let location = lines.filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "location");
        location.expect("a stream has a location").1.to_owned()
    }

    /// The next chunk of the body: what the server sent at once. `None` at its end.
    fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        self.reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim_end(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        let chunk = String::from_utf8(chunk).expect("an event is sent whole");
        // A heartbeat is no event.
        if !chunk.starts_with(':') {
            self.seen += &chunk;
        }
        (size > 0).then_some(chunk)
    }

    /// Reads so many chunks.
    fn chunks(&mut self, count: usize) {
        for _ in 0..count {
            self.chunk().expect("the stream goes on");
        }
    }

    /// Reads to the end; all that was seen.
    fn rest(mut self) -> String {
        while self.chunk().is_some() {}
        self.seen
    }

    fn last_id(&self) -> String {
        frames(&self.seen).last().expect("something was seen").id.clone()
    }
}

/// A server on `database`, and what is needed to call it.
fn start(folder: &tempfile::TempDir, database: &TestDatabase) -> Program {
    let cheap = ("PASSWORD_HASH_MEMORY_KIB", "64");
    Program::start(program(folder.path(), [("PORT", "0"), ("DATABASE_URL", database.url()), cheap]))
}

fn register(server: &Program) -> String {
    let (status, session) =
        server.ask("POST", "/api/v1/auth/register", &registration("ada@example.com").to_string());
    assert_eq!(status, 201, "{session}");
    session["access_token"].as_str().expect("there is a token").to_owned()
}

fn text(seen: &str) -> String {
    frames(seen).iter().map(Frame::chunk).collect()
}

fn status(seen: &str) -> Value {
    let frames = frames(seen);
    let last = frames.last().expect("something was seen");
    assert!(last.is_terminal() && frames.iter().filter(|frame| frame.is_terminal()).count() == 1, "{seen}");
    last.data["status"].clone()
}

async fn a_stream_arrives_bit_by_bit(engine: TestEngine) {
    let (folder, database) = (folder(), TestDatabase::create(engine).await);
    let server = start(&folder, &database);
    let mut stream = Stream::ask(&server, &register(&server), "What is 6 * 7?");
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.chunk() {
        chunks.push(chunk);
    }
    let before_the_end = chunks.iter().take_while(|chunk| !chunk.contains(r#""is_complete":true"#)).count();
    assert!(before_the_end >= 3, "{chunks:#?}");
    assert!(text(&stream.seen).starts_with("That makes 42. "));
    assert_eq!(status(&stream.seen), "completed");
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

async fn a_client_that_is_killed_resumes_byte_for_byte(engine: TestEngine) {
    let (folder, database) = (folder(), TestDatabase::create(engine).await);
    let server = start(&folder, &database);
    let token = register(&server);
    let mut leaving = Stream::ask(&server, &token, "What is 6 * 7?");
    leaving.chunks(3);
    let unbroken = Stream::resume(&server, &token, &leaving.location(), "");
    let (path, id, seen) = (leaving.location(), leaving.last_id(), leaving.seen.clone());
    drop(leaving);
    let rest = Stream::resume(&server, &token, &path, &id).rest();
    let unbroken = unbroken.rest();
    assert_eq!(seen + &rest, unbroken);
    assert_eq!(status(&unbroken), "completed");
    assert_eq!(server.terminate().0, Some(0));
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_run_of_one_server_is_followed_live_from_another() {
    let (folder, database) = (folder(), TestDatabase::create(TestEngine::Postgres).await);
    let first = start(&folder, &database);
    let second = start(&folder, &database);
    let token = register(&first);
    let mut there = Stream::ask(&first, &token, "What is 6 * 7?");
    there.chunks(3);
    let (path, id, seen) = (there.location(), there.last_id(), there.seen.clone());
    // Both are open while the model goes on.
    let here = Stream::resume(&second, &token, &path, &id);
    let from_the_beginning = Stream::resume(&second, &token, &path, "");
    let there = there.rest();
    assert_eq!(seen + &here.rest(), there);
    assert_eq!(from_the_beginning.rest(), there);
    assert_eq!(status(&there), "completed");
    // Told on one server, it is heard on the other.
    let mut there = Stream::ask(&first, &token, "Tell me a long story about everything that you know");
    there.chunks(2);
    let run = there.location().trim_end_matches("/stream").to_owned();
    let mut cancel = TcpStream::connect(&second.address).expect("the program listens");
    write!(
        cancel,
        "POST {run}/cancel HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    )
    .expect("the connection takes bytes");
    let mut answer = String::new();
    cancel.read_to_string(&mut answer).expect("the answer is text");
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(status(&there.rest()), "cancelled");
}

async fn a_killed_server_leaves_an_interrupted_run_and_a_conversation_that_goes_on(engine: TestEngine) {
    let (folder, database) = (folder(), TestDatabase::create(engine).await);
    let server = start(&folder, &database);
    let token = register(&server);
    let mut stream = Stream::ask(&server, &token, "What is 6 * 7?");
    stream.chunks(4);
    let path = stream.location();
    server.kill();
    // What was on its way still arrives.
    while stream.chunk().is_some() {}
    let (id, seen) = (stream.last_id(), stream.seen);

    let server = start(&folder, &database);
    // Waits for the lease of the killed process to end.
    let rest = Stream::resume(&server, &token, &path, &id).rest();
    let whole = Stream::resume(&server, &token, &path, "").rest();
    assert_eq!(seen + &rest, whole);
    assert_eq!(status(&whole), "interrupted");

    let next = Stream::ask(&server, &token, "And 6 * 8?").rest();
    assert_eq!(status(&next), "completed");
    assert!(text(&next).contains("What is 6 * 7?"), "it remembers the question: {next}");
    let messages = conversation(&server, &token);
    let message = |index: usize, member: &str| messages[index][member].clone();
    assert_eq!((message(1, "content"), message(1, "partial")), (json!(text(&whole)), json!(true)));
    assert_eq!((message(3, "content"), message(3, "partial")), (json!(text(&next)), json!(false)));
    assert_eq!(server.terminate().0, Some(0));
}

fn conversation(server: &Program, token: &str) -> Value {
    let mut connection = TcpStream::connect(&server.address).expect("the program listens");
    write!(
        connection,
        "GET /api/v1/conversations/homework HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .expect("the connection takes bytes");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the answer is text");
    let body = answer.split_once("\r\n\r\n").expect("an answer has a head").1;
    serde_json::from_str::<Value>(body).expect("the body is JSON")["messages"].take()
}
