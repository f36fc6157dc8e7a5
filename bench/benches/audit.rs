//! Whether the audit log's chain slows commands down: 64 tasks give commands of one tenant, with sealing and without, turn by turn in one
//! run. `scripts/soak audit` makes the report.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bench::Failure;
use saas_agents::{ConversationKey, ConversationTitle, StartRun};
use saas_core::{Actor, Client, Email, Secret, TenantName, audit::Chain};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
    testing::{TestDatabase, TestEngine},
};
use saas_sql::RootKey;
use saas_tenancy::Register;

const AT_ONCE: usize = 64;
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(2);

/// How the log is sealed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sealing {
    Off,
    /// Twice a second, as the product's workers do.
    On,
    /// Round after round, without a pause.
    Always,
}

const MODES: [(Sealing, &str); 3] =
    [(Sealing::Off, "off"), (Sealing::On, "as the product does"), (Sealing::Always, "without a pause")];

fn main() -> Result<(), Failure> {
    // `cargo test --benches` only looks whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    say("| engine | sealing | commands a second | 99 of 100 within | to that without |");
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

/// The product on a new database, one user, and a conversation for each task.
async fn open(database: &TestDatabase) -> Result<(Saas, Actor), Failure> {
    let flags = [
        ("ENVIRONMENT", "test"),
        ("DATABASE_URL", database.url()),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
        ("DATABASE_WRITE_TIMEOUT", "30"),
    ];
    let settings = Settings::load(&Sources::empty().with_flags(flags))?;
    let blueprint = Saas::builder(settings).root_key(RootKey::new(&[7; 32])?).build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;
    let password = Secret::new("correct horse battery staple".to_owned());
    let command = Register::new(Email::parse("ada@example.com")?, password, TenantName::parse("Engines")?);
    let registered = saas.tenancy().register(&Actor::system("bench"), command).await?;
    let token = registered.tokens.access_token;
    let me = saas.auth().authenticate(token.expose(), None, Client::default()).await?.actor;
    for number in 0..AT_ONCE {
        let start = StartRun::new("Hello").in_conversation(Some(key(number)?));
        saas.agents().start(&me, start).await?;
    }
    Ok((saas, me))
}

fn key(number: usize) -> Result<ConversationKey, Failure> {
    Ok(ConversationKey::parse(&format!("conversation {number}"))?)
}

async fn measure(engine: TestEngine, name: &str) -> Result<(), Failure> {
    let database = TestDatabase::create(engine).await;
    let (saas, me) = open(&database).await?;
    let mut turns = MODES.map(|_| Vec::new());
    // One that warms up, and is not counted.
    turn(&saas, &me, Sealing::On).await?;
    for _ in 0..TURNS {
        for ((mode, _), turns) in MODES.into_iter().zip(&mut turns) {
            turns.push(turn(&saas, &me, mode).await?);
            saas.audit().seal().await?;
        }
    }
    let [off, _, _] = &turns;
    let without = median(off.iter().map(Turn::rate));
    for ((_, sealing), turns) in MODES.into_iter().zip(&turns) {
        let (rate, slow) = (median(turns.iter().map(Turn::rate)), median(turns.iter().map(Turn::slow)));
        say(&format!(
            "| {name} | {sealing} | {rate:.0} | {:.1} ms | {:.1} % |",
            slow * 1000.0,
            rate / without * 100.0
        ));
    }
    let operator = Actor::system("bench");
    let mut wrong = 0;
    let verified = saas.audit().verify(&operator, None, &mut |_| wrong += 1).await?;
    let head = saas.audit().head(&operator, Chain::from(me.user().map(|user| user.tenant))).await?;
    if wrong > 0 || verified.unsealed > 0 || head.is_none() {
        return Err("the log that was measured is not sound".into());
    }
    saas.close().await;
    Ok(())
}

/// How long each command of a turn took, in seconds.
struct Turn(Vec<f64>, f64);

impl Turn {
    fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a turn has no 2^53 commands")]
        let count = self.0.len() as f64;
        count / self.1
    }

    fn slow(&self) -> f64 {
        self.0[self.0.len() * 99 / 100]
    }
}

async fn turn(saas: &Saas, me: &Actor, sealing: Sealing) -> Result<Turn, Failure> {
    let over = Arc::new(AtomicBool::new(false));
    let sealer = {
        let (saas, over) = (saas.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            while sealing != Sealing::Off && !over.load(Ordering::Relaxed) {
                saas.audit().seal().await?;
                if sealing == Sealing::On {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
            Ok::<_, Failure>(())
        })
    };
    let began = Instant::now();
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let (saas, me) = (saas.clone(), me.clone());
            tokio::spawn(async move {
                let (key, title) = (key(number)?, ConversationTitle::parse("Homework")?);
                let mut took = Vec::new();
                while began.elapsed() < TURN {
                    let asked = Instant::now();
                    saas.agents().rename(&me, &key, Some(&title)).await?;
                    took.push(asked.elapsed().as_secs_f64());
                }
                Ok::<_, Failure>(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let lasted = began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    sealer.await??;
    took.sort_by(f64::total_cmp);
    Ok(Turn(took, lasted))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
