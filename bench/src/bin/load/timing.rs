//! Whether a clock tells accounts apart: how long a refused sign-in takes, by what the account is.
//!
//! One connection asks, one request at a time: in every round for each class of accounts and for a wrong password, which all are compared
//! with, in another order each time. So whatever the machine does meanwhile, it does to all alike.

use std::{collections::BTreeMap, io::Write, path::PathBuf, time::Duration};

use bench::Failure;
use saas_auth::{Argon2id, Argon2idParams, Keyring, Password};
use saas_core::{Entropy, Reach, Secret, Storage, entropy::SystemEntropy};
use saas_sql::{SqlStorage, execute, fetch_one};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    client::{Connection, post},
    database::{Database, Engine},
    machine,
    report::{Table, median, progress},
    server::{SERVERS, Server},
};

mod statistics;

use statistics::{Compared, T_BOUND};

const USAGE: &str = "\
usage: load timing [--pairs N] [--engine sqlite|postgres] [--server PATH]

--pairs (2000) is how often each class is asked for, --engine (sqlite) where it is stored, --server the program instead of the one beside this.";

const PASSWORD: &str = "correct horse battery";
const WRONG: &str = "incorrect horse battery";
const NOBODYS_TENANT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// What all are compared with.
const REFERENCE: &str = "wrong password";

/// What an account is, and what is asked for it: each has to take what a wrong password takes. The first one is a wrong password, too,
/// of another account: it tells what the others' figures are worth.
const CLASSES: [(&str, &str); 9] = [
    ("another wrong password", WRONG),
    ("unknown address", PASSWORD),
    ("no password set", PASSWORD),
    ("unverified, wrong password", WRONG),
    ("locked", PASSWORD),
    ("disabled", PASSWORD),
    ("in another tenant alone", PASSWORD),
    ("no membership", PASSWORD),
    ("second factor, wrong password", WRONG),
];

/// Rounds that do not count: caches fill, connections open.
const WARM_UP: usize = 25;
/// After so many rounds what was counted of wrong guesses is taken away, before the bound of [`SETTINGS`] is reached.
const FORGET_EVERY: usize = 25;
/// The guesses that lock the account that is to be locked, for good.
const CEILING: usize = 100;

/// The product's own but for what would end the measurement: so many guesses come from nobody.
const SETTINGS: &[(&str, &str)] = &[
    ("REQUIRE_EMAIL_VERIFICATION", "true"),
    ("AUTH_LOCKOUT_THRESHOLD", "100"),
    ("AUTH_IP_LOCKOUT_THRESHOLD", "1000000"),
    ("AUTH_SUBNET_LOCKOUT_THRESHOLD", "1000000"),
    ("AUTH_STUFFING_THRESHOLD", "100000"),
];

struct Arguments {
    pairs: usize,
    engine: Engine,
    server: PathBuf,
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self, Failure> {
        let server = std::env::current_exe()?.with_file_name("saas-server");
        let mut arguments = Self { pairs: 2000, engine: Engine::Sqlite, server };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(USAGE.into()) };
            match name.as_str() {
                "--pairs" => {
                    arguments.pairs = value.parse().ok().filter(|pairs| *pairs >= 10).ok_or(USAGE)?;
                }
                "--engine" => arguments.engine = Engine::parse(value)?,
                "--server" => arguments.server = std::path::absolute(value)?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(arguments)
    }
}

/// Measures and shows; an error where a class can be told from a wrong password.
pub(crate) async fn run(words: &[String]) -> Result<(), Failure> {
    let arguments = Arguments::parse(words)?;
    machine::show_for(
        &[arguments.engine],
        &format!("load timing {}", words.join(" ")),
        &format!("{} pairs a class", arguments.pairs),
    )
    .await?;
    let database = Database::create(arguments.engine).await?;
    let measured = measure(&arguments, &database).await;
    database.remove().await?;
    show(&measured?)
}

async fn measure(arguments: &Arguments, database: &Database) -> Result<Times, Failure> {
    let server = Server::product(&arguments.server, database, SERVERS, SETTINGS).await?;
    let storage = database.storage().await?;
    let mut connection = Connection::open(server.address).await?;
    set_up(&storage, &mut connection).await?;
    let mut times = Times::default();
    let requests = requests();
    let mut order: Vec<usize> = (0..requests.len()).collect();
    for round in 0..WARM_UP + arguments.pairs {
        if round % FORGET_EVERY == 0 {
            forget_guesses(&storage).await?;
        }
        if round % 200 == 0 {
            progress(&format!("round {round} of {}", WARM_UP + arguments.pairs));
            server.cut_log()?;
        }
        shuffle(&mut order)?;
        for &index in &order {
            let (name, request) = &requests[index];
            let begun = Instant::now();
            let answer = connection.exchange(request).await?;
            let took = begun.elapsed();
            refused(name, answer.status, answer.body)?;
            if round >= WARM_UP {
                times.0.entry(*name).or_default().push(took.as_secs_f64());
            }
        }
    }
    server.stop()?;
    Ok(times)
}

/// Seconds, by class.
#[derive(Default)]
struct Times(BTreeMap<&'static str, Vec<f64>>);

fn address(name: &str) -> String {
    let local: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    format!("{local}@example.com")
}

fn sign_in(name: &str, password: &str) -> Vec<u8> {
    let tenant = (name == "in another tenant alone").then_some(NOBODYS_TENANT);
    post("/api/v1/auth/token", &json!({ "email": address(name), "password": password, "tenant_id": tenant }))
}

fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let classes = CLASSES.into_iter().chain([(REFERENCE, WRONG)]);
    classes.map(|(name, password)| (name, sign_in(name, password))).collect()
}

/// Each answer has to be the one that tells nothing.
fn refused(name: &str, status: u16, body: &[u8]) -> Result<(), Failure> {
    let body: Value = serde_json::from_slice(body)?;
    if status == 401 && body["code"] == "invalid_credentials" {
        return Ok(());
    }
    Err(format!("{name}: {status} {body}").into())
}

async fn set_up(storage: &SqlStorage, connection: &mut Connection) -> Result<(), Failure> {
    for (name, _) in CLASSES.into_iter().chain([(REFERENCE, WRONG)]) {
        if name == "unknown address" {
            continue;
        }
        let body = json!({ "email": address(name), "password": PASSWORD, "tenant_name": "Engines", "accept_terms": true });
        connection.exchange(&post("/api/v1/auth/register", &body)).await?.success()?;
        become_it(storage, name).await?;
    }
    for _ in 0..CEILING {
        let answer = connection.exchange(&sign_in("locked", WRONG)).await?;
        refused("locked", answer.status, answer.body)?;
    }
    // What registering left behind is done before anything counts.
    let begun = Instant::now();
    loop {
        let mut conn = storage.read(REACH).await?;
        let query = "SELECT COUNT(*) FROM saas_jobs WHERE kind = 'mail.send'";
        let (left,) = fetch_one!(&mut conn, (i64,), query)?;
        if left == 0 {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_mins(1) {
            return Err("mails are not sent".into());
        }
        drop(conn);
        sleep(Duration::from_millis(100)).await;
    }
}

const REACH: Reach = Reach::Platform("a measurement");

/// Makes an account what its class is called.
async fn become_it(storage: &SqlStorage, name: &str) -> Result<(), Failure> {
    let mut tx = storage.begin(REACH).await?;
    let (user,) = fetch_one!(
        tx.conn(),
        (Uuid,),
        "SELECT id FROM saas_users WHERE email = $1",
        address(name).to_lowercase().as_str()
    )?;
    if name != "unverified, wrong password" {
        execute!(tx.conn(), "UPDATE saas_users SET email_verified_at = created_at WHERE id = $1", user)?;
    }
    match name {
        "no password set" => {
            execute!(tx.conn(), "UPDATE saas_users SET password_hash = NULL WHERE id = $1", user)?;
        }
        "disabled" => {
            execute!(tx.conn(), "UPDATE saas_users SET status = 'disabled' WHERE id = $1", user)?;
        }
        "no membership" => {
            execute!(tx.conn(), "DELETE FROM saas_memberships WHERE user_id = $1", user)?;
        }
        "second factor, wrong password" => {
            execute!(
                tx.conn(),
                "INSERT INTO saas_second_factors (user_id, seed_envelope, created_at, confirmed_at, last_step) \
                 SELECT id, $1, created_at, created_at, 0 FROM saas_users WHERE id = $2",
                // Whoever does not show the right password has nobody open it.
                b"unopened".as_slice(),
                user,
            )?;
        }
        _ => {}
    }
    Ok(tx.commit().await?)
}

/// Takes away what was counted, but for the account that is locked for good.
async fn forget_guesses(storage: &SqlStorage) -> Result<(), Failure> {
    let mut tx = storage.begin(REACH).await?;
    let ceiling = i64::try_from(CEILING)?;
    execute!(tx.conn(), "DELETE FROM saas_sign_in_guesses WHERE consecutive < $1", ceiling)?;
    Ok(tx.commit().await?)
}

/// Fisher and Yates.
fn shuffle(order: &mut [usize]) -> Result<(), Failure> {
    for last in (1..order.len()).rev() {
        let mut bytes = [0; 8];
        SystemEntropy.fill(&mut bytes);
        let choices = u64::try_from(last + 1)?;
        order.swap(last, usize::try_from(u64::from_be_bytes(bytes) % choices)?);
    }
    Ok(())
}

/// How long a hash alone takes, in seconds.
fn hash_time() -> Result<f64, Failure> {
    let entropy = std::sync::Arc::new(SystemEntropy);
    let peppers = Keyring::generate(&*entropy);
    let argon2id = Argon2id::new(Argon2idParams::default(), peppers, entropy)?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let password = Password::new(&Secret::new(PASSWORD.to_owned()))?;
        let begun = Instant::now();
        argon2id.hash(&password)?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(times))
}

fn show(times: &Times) -> Result<(), Failure> {
    let hash = hash_time()?;
    let reference = times.0.get(REFERENCE).ok_or("nothing was measured")?;
    let mut table = Table::new(&[
        "class",
        "pairs",
        "median",
        "more than a wrong password",
        "of the hash",
        "Welch's t",
        "t without the slowest tenth",
        "holds",
    ]);
    let mut told_apart = Vec::new();
    for (name, _) in CLASSES {
        let taken = times.0.get(name).ok_or("a class was not measured")?;
        let compared = Compared::of(taken, reference);
        let part = compared.difference / hash;
        let holds = compared.t.abs() < T_BOUND && compared.t_cropped.abs() < T_BOUND && part.abs() < 0.01;
        if !holds {
            told_apart.push(name);
        }
        table.add([
            name.to_owned(),
            taken.len().to_string(),
            format!("{:.3} ms", compared.median * 1e3),
            format!("{:+.1} µs", compared.difference * 1e6),
            format!("{:+.3} %", part * 100.0),
            format!("{:+.2}", compared.t),
            format!("{:+.2}", compared.t_cropped),
            if holds { "yes" } else { "**no**" }.to_owned(),
        ]);
    }
    table.show("Refused sign-ins")?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\nA hash alone takes {:.3} ms. Held against: |t| below {T_BOUND}, and medians apart by less than 1 % of the hash.",
        hash * 1e3
    )?;
    if told_apart.is_empty() { Ok(()) } else { Err(format!("told apart: {}", told_apart.join(", ")).into()) }
}
