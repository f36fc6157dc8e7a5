//! Killing a process that registers: what it promised is there, and nothing is there by half.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use saas_auth::SignIn;
use saas_core::{
    Actor, Client, Email, Entropy, Reach, Secret, Storage, TenantName,
    entropy::{SystemEntropy, random},
};
use saas_kit::{
    Blueprint, Saas,
    settings::{Settings, Sources},
    testing::{PASSWORD, TestDatabase},
};
use saas_sql::{EngineKind, RootKey, SqlOptions, SqlStorage, fetch_all, fetch_one};
use saas_tenancy::Register;

const KILLS: usize = 20;
const REGISTRATIONS: usize = 1_000;
/// How many registrations the child has under way at once.
const TASKS: usize = 8;
/// Names the child's database; without it the child's test has nothing to do.
const DATABASE: &str = "SAAS_TEST_CRASH_DATABASE_URL";
/// The first number that the child registers.
const FIRST: &str = "SAAS_TEST_CRASH_FIRST";
/// The refresh token that the child uses.
const TOKEN: &str = "SAAS_TEST_CRASH_REFRESH_TOKEN";
/// How the child says that somebody is registered.
const REGISTERED: &str = "registered ";

on_both_engines! {
    async fn a_killed_process_keeps_what_it_promised_and_leaves_no_half_made_tenant(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let blueprint = blueprint(database.url());
        blueprint.migrate().await.expect("a new database migrates");
        blueprint.open().await.expect("a migrated database opens").close().await;

        let mut promised = BTreeSet::new();
        let mut first = 0;
        for point in kill_points(&SystemEntropy) {
            let mut child = Running::start(database.url(), first);
            while promised.len() < point {
                promised.insert(child.next().expect("the child goes on until it is killed"));
            }
            child.kill_at_some_moment(&SystemEntropy);
            // What it said before it died counts as well.
            promised.extend(std::iter::from_fn(|| child.next()));
            check(database.url(), &promised).await;
            // Those under way were not promised, and may be there.
            first = promised.iter().max().map_or(0, |last| last + TASKS + 1);
        }
        assert!(promised.len() >= REGISTRATIONS, "{} were registered", promised.len());

        let saas = self::blueprint(database.url()).open().await.expect("the database opens again");
        for number in promised.iter().step_by(promised.len() / 10) {
            let command = SignIn::new(address(*number), Secret::new(PASSWORD.to_owned()));
            saas.auth().sign_in(&anonymous(), command).await.expect("whoever was registered signs in");
        }
        saas.close().await;
    }

    async fn a_process_that_is_killed_between_commit_and_answer_gives_the_same_successor_afterwards_w3(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let blueprint = blueprint(database.url());
        blueprint.migrate().await.expect("a new database migrates");
        let saas = blueprint.open().await.expect("a migrated database opens");
        let tenant = TenantName::parse("Test Tenant").expect("the name is valid");
        let register = Register::new(address(0), Secret::new(PASSWORD.to_owned()), tenant);
        let first = saas.tenancy().register(&anonymous(), register).await.expect("the address is new").tokens;

        // It has committed, and nobody is told the answer.
        let mut child = Running::refreshing(database.url(), first.refresh_token.expose());
        assert_eq!(child.next(), Some(2), "the generation that it moved the family on to");
        child.kill_at_some_moment(&SystemEntropy);

        let refresh = async |token: &Secret<String>| saas.auth().refresh(&anonymous(), token).await;
        let second = refresh(&first.refresh_token).await.expect("the grace is not over");
        let again = refresh(&first.refresh_token).await.expect("the grace is not over");
        assert_eq!(second.refresh_token.expose(), again.refresh_token.expose());
        assert_eq!(generation(database.url()).await, 2, "the one that the killed process had moved on to");
        refresh(&second.refresh_token).await.expect("it is the live one");
        saas.close().await;
    }
}

/// The one family's.
async fn generation(url: &str) -> i64 {
    let storage = SqlStorage::open(&SqlOptions::new(url).expect("the URL is valid")).await.expect("it opens");
    let mut conn = storage.read(Reach::Platform("test")).await.expect("the database answers");
    let found = fetch_one!(&mut conn, (i64,), "SELECT generation FROM saas_sessions");
    drop(conn);
    storage.close().await;
    found.expect("there is one session").0
}

/// The process that refreshes, and keeps the answer to itself until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_refreshes() {
    let (Ok(url), Ok(token)) = (std::env::var(DATABASE), std::env::var(TOKEN)) else { return };
    let saas = blueprint(&url).open().await.expect("a migrated database opens");
    saas.auth().refresh(&anonymous(), &Secret::new(token)).await.expect("the token is live");
    writeln!(std::io::stdout(), "{REGISTERED}{}", generation(&url).await).expect("the parent listens");
    std::future::pending::<()>().await;
}

/// The process that is killed; it ends by itself only when it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_registers() {
    let (Ok(url), Ok(first)) = (std::env::var(DATABASE), std::env::var(FIRST)) else { return };
    let saas = blueprint(&url).open().await.expect("a migrated database opens");
    let next = Arc::new(AtomicUsize::new(first.parse().expect("it is a number")));
    let tasks: Vec<_> =
        (0..TASKS).map(|_| tokio::spawn(register_forever(saas.clone(), Arc::clone(&next)))).collect();
    for task in tasks {
        task.await.expect("a task goes on until it is killed");
    }
}

async fn register_forever(saas: Saas, next: Arc<AtomicUsize>) {
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let tenant = TenantName::parse("Test Tenant").expect("the name is valid");
        let command = Register::new(address(number), Secret::new(PASSWORD.to_owned()), tenant);
        saas.tenancy().register(&anonymous(), command).await.expect("the address is new");
        // One write of a short line into a pipe is whole or not there.
        writeln!(std::io::stdout(), "{REGISTERED}{number}").expect("the parent listens");
    }
}

/// This program again, registering.
struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(url: &str, first: usize) -> Self {
        Self::child("crash::child_registers", url, FIRST, &first.to_string())
    }

    fn refreshing(url: &str, token: &str) -> Self {
        Self::child("crash::child_refreshes", url, TOKEN, token)
    }

    fn child(test: &str, url: &str, name: &str, value: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program is a file"))
            .args(["--exact", test, "--nocapture"])
            .env(DATABASE, url)
            .env(name, value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let stdout = process.stdout.take().expect("it is piped");
        Self { process, lines: BufReader::new(stdout) }
    }

    /// The next number that the child registered; none when it has ended.
    fn next(&mut self) -> Option<usize> {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).expect("the pipe can be read");
            // What is cut off has no end, and was not said.
            let said = line.strip_suffix('\n')?;
            if let Some(number) = said.strip_prefix(REGISTERED) {
                return Some(number.parse().expect("it is a number"));
            }
        }
    }

    /// Kills the child somewhere in the millisecond to come, so that any statement of a registration may be its last.
    fn kill_at_some_moment(&mut self, entropy: &dyn Entropy) {
        let moment = Duration::from_micros(u64::from(u16::from_be_bytes(random(entropy)) % 1_000));
        let now = Instant::now();
        while now.elapsed() < moment {
            std::hint::spin_loop();
        }
        self.process.kill().expect("the child runs");
        let status = self.process.wait().expect("the child can be waited for");
        assert!(!status.success(), "the child had ended before it was killed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is only still there when the test has failed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The product as a server opens it: the machine's clock and randomness. Only hashing is cheap.
fn blueprint(url: &str) -> Blueprint {
    let flags = [
        ("DATABASE_URL", url),
        ("ENVIRONMENT", "test"),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
        ("AUTH_REFRESH_GRACE_SECONDS", "60"),
    ];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).expect("the settings are valid");
    let root_key = RootKey::new(&[7; 32]).expect("32 bytes are a root key");
    Saas::builder(settings).root_key(root_key).build().expect("the settings fit")
}

/// After how many registrations the child is killed: random points, in order, the last of which is the end.
fn kill_points(entropy: &dyn Entropy) -> BTreeSet<usize> {
    let mut points = BTreeSet::from([REGISTRATIONS]);
    while points.len() < KILLS {
        points.insert(1 + usize::from(u16::from_be_bytes(random(entropy))) % REGISTRATIONS);
    }
    points
}

/// One row of counts, of one moment: a killed server's last commit may still be on its way into PostgreSQL.
const COUNTS: &str = "SELECT \
    (SELECT COUNT(*) FROM saas_users), \
    (SELECT COUNT(*) FROM saas_tenants), \
    (SELECT COUNT(*) FROM saas_memberships), \
    (SELECT COUNT(*) FROM saas_sessions)";

/// What must not be there, and how many of it are.
const FAULTS: [(&str, &str); 5] = [
    (
        "a user who is not the owner of exactly one tenant, and a member of nothing else",
        "SELECT COUNT(*) FROM saas_users u WHERE 1 <> (SELECT COUNT(*) FROM saas_memberships m WHERE m.user_id = u.id) \
         OR NOT EXISTS (SELECT 1 FROM saas_memberships m JOIN saas_tenants t ON t.id = m.tenant_id \
         WHERE m.user_id = u.id AND m.role = 'owner' AND t.state = 'active')",
    ),
    (
        "a tenant without exactly one owner",
        "SELECT COUNT(*) FROM saas_tenants t WHERE 1 <> (SELECT COUNT(*) FROM saas_memberships m \
         JOIN saas_users u ON u.id = m.user_id WHERE m.tenant_id = t.id AND m.role = 'owner')",
    ),
    (
        "a user without a session in their tenant",
        "SELECT COUNT(*) FROM saas_users u WHERE NOT EXISTS (SELECT 1 FROM saas_sessions s \
         JOIN saas_memberships m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id WHERE s.user_id = u.id)",
    ),
    (
        "a membership without its user or its tenant",
        "SELECT COUNT(*) FROM saas_memberships m WHERE NOT EXISTS (SELECT 1 FROM saas_users u WHERE u.id = m.user_id) \
         OR NOT EXISTS (SELECT 1 FROM saas_tenants t WHERE t.id = m.tenant_id)",
    ),
    (
        "a session without its user or its tenant",
        "SELECT COUNT(*) FROM saas_sessions s WHERE NOT EXISTS (SELECT 1 FROM saas_users u WHERE u.id = s.user_id) \
         OR NOT EXISTS (SELECT 1 FROM saas_tenants t WHERE t.id = s.tenant_id)",
    ),
];

/// Opens the database as the next process would, and looks for anything that is there by half or not at all.
async fn check(url: &str, promised: &BTreeSet<usize>) {
    let options = SqlOptions::new(url).expect("the URL is valid");
    let storage = SqlStorage::open(&options).await.expect("the database opens again");
    let mut conn = storage.read(Reach::Platform("test")).await.expect("the database answers");
    if storage.kind() == EngineKind::Sqlite {
        let (verdict,) =
            fetch_one!(&mut conn, (String,), "PRAGMA integrity_check").expect("the database answers");
        assert_eq!(verdict, "ok");
    }
    let (users, tenants, memberships, sessions) =
        fetch_one!(&mut conn, (i64, i64, i64, i64), COUNTS).expect("the database answers");
    assert_eq!((users, users, users), (tenants, memberships, sessions));
    for (fault, query) in FAULTS {
        let (found,) = fetch_one!(&mut conn, (i64,), query).expect("the database answers");
        assert_eq!(found, 0, "there is {fault}");
    }
    let emails = fetch_all!(&mut conn, (String,), "SELECT email FROM saas_users LIMIT 100000");
    let emails: BTreeSet<String> =
        emails.expect("the database answers").into_iter().map(|(email,)| email).collect();
    for number in promised {
        assert!(emails.contains(address(*number).as_str()), "{number} was promised");
    }
    drop(conn);
    storage.close().await;
}

fn address(number: usize) -> Email {
    Email::parse(&format!("user{number}@example.com")).expect("the address is valid")
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}
