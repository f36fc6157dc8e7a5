//! What reserving a guess before a password is hashed costs, beside the hash. `scripts/soak lockout` makes the report.

use std::time::{Duration, Instant};

use bench::Failure;
use saas_auth::Registration;
use saas_core::{Actor, Email, Reach, Secret, Storage, TenantName, UserId};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
    testing::{TestDatabase, TestEngine},
};
use saas_sql::RootKey;
use saas_tenancy::Register;

const ROUNDS: usize = 300;
const PASSWORD: &str = "correct horse battery staple";

fn main() -> Result<(), Failure> {
    // `cargo test --benches` only looks whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    say("| engine | one hash | reserving a guess | to the hash | and clearing it alone |");
    say("| --- | --- | --- | --- | --- |");
    for (engine, name) in [(TestEngine::Postgres, "PostgreSQL"), (TestEngine::Sqlite, "SQLite")] {
        runtime.block_on(measure(engine, name))?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what it measures is what it is for")]
fn say(line: &str) {
    println!("{line}");
}

/// The product with the parameters of its defaults, on a new database, and one user.
async fn open(database: &TestDatabase) -> Result<(Saas, UserId), Failure> {
    let flags = [("ENVIRONMENT", "test"), ("DATABASE_URL", database.url())];
    let settings = Settings::load(&Sources::empty().with_flags(flags))?;
    let blueprint = Saas::builder(settings).root_key(RootKey::new(&[7; 32])?).build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;
    let password = Secret::new(PASSWORD.to_owned());
    let command = Register::new(Email::parse("ada@example.com")?, password, TenantName::parse("Engines")?);
    let registered = saas.tenancy().register(&Actor::system("bench"), command).await?;
    Ok((saas, registered.user.id))
}

async fn measure(engine: TestEngine, name: &str) -> Result<(), Failure> {
    let database = TestDatabase::create(engine).await;
    let (saas, user) = open(&database).await?;
    let (mut hashes, mut reserved, mut cleared) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        if round % 3 == 0 {
            let registration =
                Registration::new(Email::parse("bob@example.com")?, Secret::new(PASSWORD.to_owned()));
            let began = Instant::now();
            saas.auth().prepare_registration(registration).await?;
            hashes.push(began.elapsed());
        }
        let began = Instant::now();
        let guess = saas.auth().guess_second_factor(user).await?.ok_or("a right guess locks nobody")?;
        reserved.push(began.elapsed());
        let began = Instant::now();
        let mut tx = saas.storage().begin(Reach::Platform("bench")).await?;
        saas.auth().guessed_right(&mut tx, &guess).await?;
        tx.commit().await?;
        cleared.push(began.elapsed());
    }
    let [hash, reserved, cleared] = [hashes, reserved, cleared].map(median);
    say(&format!(
        "| {name} | {:.1} ms | {:.2} ms | {:.1} % | {:.2} ms |",
        milliseconds(hash),
        milliseconds(reserved),
        milliseconds(reserved) / milliseconds(hash) * 100.0,
        milliseconds(cleared),
    ));
    saas.close().await;
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}
