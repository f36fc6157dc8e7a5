//! PostgreSQL taken away and given back, by a proxy that cuts the connections: the program stays, says what is, and recovers by itself.
#![cfg(feature = "postgres")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use saas_core::{Actor, UserId};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
    testing::{TestDatabase, TestEngine},
};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::{
    harness::{credentials, registration},
    program::{Program, program},
};

mod proxy;

use proxy::{Mode, Proxy};

const ROOT_KEY: &str = "q3xJ0l1B8mVYc2Zt5nRw7eKd4uHs6gPa9fXoTiUyWbM=";

/// No answer may take longer than the program's time-out for requests, and what it needs beside.
const HUNG: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// What may be said while the database is away: what is still remembered, or that it is.
    fn check_while_away(&self, of: &str) {
        if self.status == 200 && of != "/health/ready" {
            return;
        }
        assert_eq!(self.status, 503, "{of}: {self:?}");
        let head = self.head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/problem+json"), "{of}: {self:?}");
        let wait =
            head.lines().find_map(|line| line.strip_prefix("retry-after: ")?.trim().parse::<u32>().ok());
        assert!(wait.is_some_and(|seconds| seconds > 0), "{of}: {self:?}");
    }
}

fn ask(address: &str, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the program listens");
    stream.set_read_timeout(Some(HUNG)).expect("a socket has time-outs");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the connection takes bytes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{method} {path} hung: {error}"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A request of each kind: what looks, what changes, what a worker has to answer.
fn requests() -> [(&'static str, &'static str, Value); 5] {
    [
        ("GET", "/api/v1/auth/me", Value::Null),
        ("GET", "/api/v1/auth/sessions", Value::Null),
        ("GET", "/api/v1/conversations", Value::Null),
        ("POST", "/api/v1/auth/token", credentials("ada@example.com")),
        ("POST", "/api/v1/chat", json!({ "message": "hello" })),
    ]
}

/// How long the database is away each time, how often, and how many ask meanwhile.
struct Plan {
    away: Duration,
    rounds: usize,
    clients: usize,
}

impl Plan {
    /// Small, unless the soak asks for more.
    fn asked() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        Self {
            away: Duration::from_millis(number("SAAS_TEST_OUTAGE_MILLIS").unwrap_or(500)),
            rounds: usize::try_from(number("SAAS_TEST_OUTAGE_ROUNDS").unwrap_or(1)).expect("a small number"),
            clients: usize::try_from(number("SAAS_TEST_OUTAGE_CLIENTS").unwrap_or(2))
                .expect("a small number"),
        }
    }
}

/// Asks until every request of each kind is answered as it should; how long that took.
fn recovered(address: &str, token: &str) -> Duration {
    let begun = Instant::now();
    for (method, path, body) in requests().into_iter().chain([("GET", "/health/ready", Value::Null)]) {
        loop {
            let answer = ask(address, method, path, token, &body);
            if answer.status == 200 {
                break;
            }
            answer.check_while_away(path);
            assert!(begun.elapsed() < Duration::from_mins(2), "it does not recover: {path} {answer:?}");
            thread::yield_now();
        }
    }
    begun.elapsed()
}

/// Who somebody is who has just registered, and their token.
fn registered(answer: &Answer) -> (UserId, String) {
    let session: Value = serde_json::from_str(&answer.body).expect("a session is JSON");
    let user = session["user_id"].as_str().and_then(|id| id.parse().ok()).expect("there is a user");
    (user, session["access_token"].as_str().expect("there is a token").to_owned())
}

/// Another process on the database, whose connections go around the proxy. It does no jobs.
fn elsewhere(database: &TestDatabase) -> Saas {
    let flags = [("DATABASE_URL", database.url()), ("ROOT_KEY", ROOT_KEY)];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).expect("the settings are valid");
    let blueprint = Saas::builder(settings).build().expect("the settings fit");
    Handle::current().block_on(blueprint.open()).expect("the database is there")
}

/// A user whom another process disables is refused here: changes are heard again.
fn a_change_is_heard(address: &str, elsewhere: &Saas, (user, token): (UserId, String)) {
    let me = || ask(address, "GET", "/api/v1/auth/me", &token, &Value::Null).status;
    assert_eq!(me(), 200);
    let operator = Actor::system("test");
    let disabled = elsewhere.auth().disable_user(&operator, user);
    Handle::current().block_on(disabled).expect("the database is there");
    let begun = Instant::now();
    while me() != 401 {
        assert!(begun.elapsed() < Duration::from_mins(2), "a user who was disabled elsewhere is let in");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Somebody registers, and the job that this leaves behind does its work: their welcome is a file. Answers with their token.
fn a_job_is_done(address: &str, folder: &Path, number: usize) -> (UserId, String) {
    let email = format!("after.outage{number}@example.com");
    let answer = ask(address, "POST", "/api/v1/auth/register", "", &registration(&email));
    assert_eq!(answer.status, 201, "{answer:?}");
    let begun = Instant::now();
    let is_there = || {
        let mails = fs::read_dir(folder.join("var/mail")).into_iter().flatten().flatten();
        mails.filter_map(|mail| fs::read_to_string(mail.path()).ok()).any(|mail| mail.contains(&email))
    };
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_mins(2), "no worker does jobs any more");
        thread::sleep(Duration::from_millis(20));
    }
    registered(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_taken_away_and_given_back() {
    let plan = Plan::asked();
    let database = TestDatabase::create(TestEngine::Postgres).await;
    tokio::task::spawn_blocking(move || outages(&database, &plan)).await.expect("the test ends");
}

fn outages(database: &TestDatabase, plan: &Plan) {
    let proxy = Proxy::before(database.url());
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let settings = [
        ("PORT", "0"),
        ("DATABASE_URL", proxy.url()),
        ("DATABASE_POOL_TIMEOUT", "2"),
        ("DATABASE_WRITE_TIMEOUT", "2"),
        ("DATABASE_HEALTH_TIMEOUT", "2"),
        ("REQUEST_TIMEOUT_SECONDS", "4"),
        ("ROOT_KEY", ROOT_KEY),
        ("LOG_LEVEL", "warn,saas_http=info"),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
        // Guesses whose counting was cut off stay counted, and all of these sign-ins are for one account.
        ("AUTH_LOCKOUT_THRESHOLD", "50"),
    ];
    let server = Program::start(program(folder.path(), settings));
    let address = server.address.clone();
    let session = ask(&address, "POST", "/api/v1/auth/register", "", &registration("ada@example.com"));
    assert_eq!(session.status, 201, "{session:?}");
    let (_, token) = registered(&session);
    let elsewhere = elsewhere(database);
    recovered(&address, &token);

    for round in 0..plan.rounds {
        for (number, mode) in [Mode::Refuse, Mode::Swallow].into_iter().enumerate() {
            let (stop, answers) = (AtomicBool::new(false), AtomicU64::new(0));
            thread::scope(|scope| {
                for client in 0..plan.clients {
                    let (address, token, stop, answers) = (&address, &token, &stop, &answers);
                    scope.spawn(move || {
                        for (method, path, body) in requests().iter().cycle().skip(client) {
                            if stop.load(Ordering::SeqCst) {
                                break;
                            }
                            ask(address, method, path, token, body).check_while_away(path);
                            answers.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
                proxy.set(mode);
                let ready = ask(&address, "GET", "/health/ready", "", &Value::Null);
                ready.check_while_away("/health/ready");
                assert!(ready.body.contains("\"storage\":\"failed\""), "{ready:?}");
                assert_eq!(ask(&address, "GET", "/health", "", &Value::Null).status, 200, "it lives");
                let token_asked =
                    ask(&address, "POST", "/api/v1/auth/token", "", &credentials("ada@example.com"));
                assert_eq!(token_asked.status, 503, "{token_asked:?}");
                thread::sleep(plan.away);
                proxy.set(Mode::Pass);
                let took = recovered(&address, &token);
                stop.store(true, Ordering::SeqCst);
                let somebody = a_job_is_done(&address, folder.path(), round * 2 + number);
                a_change_is_heard(&address, &elsewhere, somebody);
                eprintln!(
                    "outage: round {}, {}: recovered {:.1} s after the database was back; {} answers while it was away",
                    round + 1,
                    mode.words(),
                    took.as_secs_f64(),
                    answers.load(Ordering::SeqCst)
                );
            });
        }
    }
    let (code, said) = server.terminate();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("\"http.response.status_code\":500"), "{said}");
}
