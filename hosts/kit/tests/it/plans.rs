//! No statement of the product reads a whole table: every one that runs while it is used is explained by the engine itself.
//!
//! The statements are heard from sqlx's log. On PostgreSQL sequential scans are made so dear that only a missing index leads to one; on
//! SQLite the plan says `SCAN` where no index narrows the rows, and `TEMP B-TREE` where none gives their order.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::TryStreamExt;
use saas_agents::{ConversationKey, StartRun};
use saas_auth::{
    FactorProof, Freshness, GuessId, GuessStore, RecoveryCode, Reserved, SessionCredential, SessionFilter,
    SignIn, StepUpProof,
};
use saas_auth_sql::SqlGuesses;
use saas_core::{
    Actor, Client, Clock, Email, EventBounds, PageSize, Reach, Secret, Storage, UserId,
    audit::{AuditActor, AuditFilter, Chain},
};
use saas_kit::testing::{PASSWORD, TestEngine, TestSaas};
use saas_sql::{SqlStorage, sqlx};
use saas_tenancy::Registered;
use sqlx::{AssertSqlSafe, Executor, Row};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan};

/// What runs once at a start, or looks at all there is on purpose: bounded tables, the lists of operators, and values that a statement brings
/// itself, whose types PostgreSQL knows from their binds alone.
const MAY_SCAN: [&str; 5] = ["saas_migrations", "saas_deployment", "pragma", "sqlite_", "with seals ("];

/// What sorts on purpose: one user's sessions, which are counted for the same answer (auth's migration 3 says why); the few tenants of somebody
/// who leaves for good, which are locked in one order, or who has their account written out.
const MAY_SORT: [&str; 4] = [
    "from saas_sessions where user_id = $1 and (cast($2 as uuid) is null or tenant_id = $2) and ($3 or ",
    "select id from saas_tenants where id in",
    "from saas_memberships m where m.user_id = $1 order by m.created_at, m.tenant_id",
    "where m.user_id = $1 and m.tenant_id > $2 order by m.tenant_id",
];

/// What a statement calls so is a step of its own that has a limit: going through it, and sorting it, is bounded.
const BOUNDED: &str = "bounded";

/// Statements that were heard.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<BTreeSet<String>>>);

impl Heard {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Said {
    summary: String,
    statement: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        // A short statement is its own summary.
        let statement = if said.statement.trim().is_empty() { said.summary } else { said.statement };
        self.lock().insert(statement.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}

/// Everything that users, operators and workers do.
async fn use_everything(test: &TestSaas) {
    let (auth, agents, operator) = (test.saas.auth(), test.saas.agents(), Actor::system("test"));
    let ada = test.register("ada@example.com").await;
    let bob = test.register("bob@example.com").await;
    let tokens = test.sign_in("ada@example.com").await.unwrap();
    let tokens = test.refresh(&tokens.refresh_token).await.unwrap();
    let me = test.actor(&tokens).await;
    auth.me(&me).await.unwrap();
    let one = PageSize::new(1).unwrap();
    for filter in
        [SessionFilter::live(), SessionFilter::live().with_ended(true).in_tenant(Some(tokens.tenant))]
    {
        let page = auth.sessions(&me, &filter, None, 0, one).await.unwrap().page;
        auth.sessions(&me, &filter, page.next.as_ref(), 0, one).await.unwrap();
    }
    let users = auth.users(&operator, None, one).await.unwrap();
    auth.users(&operator, users.next.as_ref(), one).await.unwrap();
    auth.user(&operator, bob.user.id).await.unwrap();
    auth.signing_keys(&operator).await.unwrap();

    for key in ["first", "second", "third"] {
        let key = ConversationKey::parse(key).unwrap();
        let idempotent = saas_agents::IdempotencyKey::parse(key.as_str()).unwrap();
        let start = || {
            StartRun::new("What is 6 * 7?")
                .in_conversation(Some(key.clone()))
                .with_idempotency_key(Some(idempotent.clone()))
        };
        let run = agents.start(&me, start()).await.unwrap();
        agents.start(&me, start()).await.unwrap();
        let mut events = agents.follow(&me, run.id, 0).await.unwrap();
        while events.next().await.unwrap().is_some() {}
        agents.cancel(&me, run.id).await.unwrap();
        agents.transcript(&me, &key, 1, 10).await.unwrap();
        agents.rename(&me, &key, None).await.unwrap();
    }
    let page = agents.conversations(&me, None, one).await.unwrap();
    agents.conversations(&me, page.next.as_ref(), one).await.unwrap();
    agents.remove(&me, &ConversationKey::parse("first").unwrap()).await.unwrap();
    agents.recover().await.unwrap();
    let nothing_new =
        EventBounds { family: saas_agents::RunId::FAMILY, newest: 1, idle: Duration::from_hours(1) };
    assert!(agents.purge_events(&nothing_new).await.unwrap() > 0);
    agents.stop_cancelled().await.unwrap();

    use_second_factors(test).await;
    auth.hear_changes().await.unwrap();
    test.clock.advance(Duration::from_secs(3));
    test.actor(&tokens).await;
    auth.renew_decisions().await.unwrap();
    test.clock.advance(Duration::from_secs(17));
    auth.refresh(&Actor::system("test"), &ada.tokens.refresh_token).await.unwrap();
    auth.revoke_session(&me, ada.tokens.session).await.unwrap();
    assert!(auth.logout(&me, &tokens.refresh_token).await.unwrap());
    recover(test).await;
    guess(test, bob.user.id).await;
    auth.disable_user(&operator, bob.user.id).await.unwrap();
    let tokens = test.sign_in("ada@example.com").await.unwrap();
    let by = SessionCredential::RefreshToken(&tokens.refresh_token);
    let tokens = auth.switch(&operator, by, tokens.tenant).await.unwrap();
    let cookie = auth.session_cookie(&tokens).unwrap();
    test.clock.advance(Duration::from_mins(2));
    let by_cookie =
        auth.authenticate_cookie(Freshness::Strict, cookie.expose(), None, Client::default()).await.unwrap();
    auth.logout_others(&by_cookie.actor).await.unwrap();
    let me = test.actor(&test.sign_in("ada@example.com").await.unwrap()).await;
    let page = auth.sign_ins(&me, None, one).await.unwrap();
    auth.sign_ins(&me, page.next.as_ref(), one).await.unwrap();
    auth.logout_all(&me).await.unwrap();
    assert!(test.saas.readiness().await.is_ready());
    let export = test.saas.export_account(&Actor::system("test"), ada.user.id).await.unwrap();
    assert!(!export.chunks().try_collect::<Vec<_>>().await.unwrap().is_empty());
    read_the_audit_log(test, &ada).await;
}

/// A second factor from its beginning to its end, guesses and all.
async fn use_second_factors(test: &TestSaas) {
    let (auth, email) = (test.saas.auth(), "carol@example.com");
    let (app, added) = test.add_authenticator(&test.register(email).await.tokens).await;
    test.meet(&test.challenge(email).await, FactorProof::Code(app.wrong())).await.unwrap_err();
    test.meet(&test.challenge(email).await, FactorProof::Code(app.code())).await.unwrap();
    let code = RecoveryCode::parse(added.recovery_codes[0].expose()).unwrap();
    test.meet(&test.challenge(email).await, FactorProof::RecoveryCode(code)).await.unwrap();
    test.next_code();
    let proof = StepUpProof::SecondFactor(FactorProof::Code(app.code()));
    let me = test.actor(&added.tokens).await;
    let me = test.actor(&auth.step_up(&me, &proof).await.unwrap()).await;
    auth.second_factor(&me).await.unwrap();
    auth.replace_recovery_codes(&me).await.unwrap();
    auth.remove_totp(&me).await.unwrap();
}

/// The token of the last mail of a template.
async fn mailed(test: &TestSaas, template: &str) -> Secret<String> {
    let mail = test.mail.wait_for(|mail| mail.template == template).await;
    Secret::new(mail.variables.into_iter().find(|(name, _)| *name == "token").unwrap().1)
}

/// What is done by mail, and the end of it.
async fn recover(test: &TestSaas) {
    let (auth, anybody) = (test.saas.auth(), Actor::anonymous(None, Client::default()));
    let (password, new) = (Secret::new(PASSWORD.to_owned()), Secret::new("another horse battery".to_owned()));
    let eve = test.register("eve@example.com").await;
    let me = test.actor(&eve.tokens).await;
    auth.send_verification(&me).await.unwrap();
    auth.verify_email(&anybody, &mailed(test, "verify_email").await).await.unwrap();
    let tokens = auth.change_password(&me, &password, &new, false).await.unwrap();
    let me = test.actor(&tokens).await;
    auth.request_email_change(&me, &new, &Email::parse("e@example.com").unwrap()).await.unwrap();
    auth.confirm_email_change(&anybody, &mailed(test, "email_change_confirm").await).await.unwrap();
    auth.undo_email_change(&anybody, &mailed(test, "email_change_notice").await).await.unwrap();
    auth.reset_password(&anybody, &mailed(test, "password_reset").await, &new).await.unwrap();
    auth.forgot_password(&anybody, &Email::parse("nobody@example.com").unwrap()).await.unwrap();
    test.saas.tenancy().delete_user(&Actor::system("test"), eve.user.id).await.unwrap();
}

/// Guesses wrong until it locks, with a device and without, and unlocks.
async fn guess(test: &TestSaas, bob: UserId) {
    let (auth, operator) = (test.saas.auth(), Actor::system("test"));
    let device = test.sign_in("bob@example.com").await.unwrap().device_token;
    for _ in 0..6 {
        let wrong = SignIn::new(Email::parse("bob@example.com").unwrap(), Secret::new("not it".to_owned()));
        auth.sign_in(&operator, wrong.with_device_token(device.clone())).await.unwrap_err();
    }
    test.clock.advance(Duration::from_mins(1));
    for _ in 0..5 {
        let wrong = SignIn::new(Email::parse("bob@example.com").unwrap(), Secret::new("not it".to_owned()));
        auth.sign_in(&operator, wrong).await.unwrap_err();
    }
    assert!(!auth.guesses(&operator, bob).await.unwrap().is_empty());
    auth.unlock(&operator, &mailed(test, "unlock_account").await).await.unwrap();
    auth.unlock_user(&operator, bob).await.unwrap();
    // A guess that is shed is taken back, which no test can have happen through the product's own pool.
    let mut tx = test.begin().await;
    let never = Reserved { failures: 1, consecutive: 1, open_from: test.clock.now(), is_news: false };
    SqlGuesses.take_back(&mut tx, &GuessId::from_bytes([7; 32]), &never, test.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// What operators ask of the audit log, by each of the filters.
async fn read_the_audit_log(test: &TestSaas, ada: &Registered) {
    let (audit, operator) = (test.saas.audit(), Actor::system("test"));
    audit.seal().await.unwrap();
    let (one, all, chain) = (PageSize::new(1).unwrap(), AuditFilter::default(), Chain::Tenant(ada.tenant.id));
    for filter in [
        all.clone(),
        AuditFilter { chain: Some(chain), ..all.clone() },
        AuditFilter { actor: Some(AuditActor::user(ada.user.id)), ..all.clone() },
        AuditFilter { subject: Some(ada.user.id.into()), ..all.clone() },
        AuditFilter { action: Some(saas_auth::audited::SESSION_OPENED), ..all.clone() },
        AuditFilter { from: Some(ada.user.created_at), until: Some(ada.user.created_at), ..all.clone() },
    ] {
        let page = audit.list(&operator, &filter, None, one).await.unwrap();
        audit.list(&operator, &filter, page.next.as_ref(), one).await.unwrap();
    }
    assert_eq!(audit.verify(&operator, None, &mut |_| {}).await.unwrap().findings, 0);
    audit.purge(&operator, ada.tenant.id).await.unwrap();
}

/// How the engine would run a statement, a line for each step.
async fn plan(storage: &SqlStorage, statement: &str) -> Vec<String> {
    let mut tx = storage.begin(Reach::Platform("explaining")).await.unwrap();
    match saas_sql::engine(tx.conn()).unwrap() {
        saas_sql::Engine::Sqlite(conn) => {
            let explain = format!("EXPLAIN QUERY PLAN {statement}");
            let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(conn).await.unwrap();
            rows.iter().map(|row| row.get::<String, _>("detail")).collect()
        }
        saas_sql::Engine::Postgres(conn) => {
            let count = (1..=40).rev().find(|number| statement.contains(&format!("${number}"))).unwrap_or(0);
            let nulls = vec!["NULL"; count].join(", ");
            // Of values that stand alone PostgreSQL learns the types from their binds: here they are ids.
            let types = if statement.contains("IN (VALUES") {
                format!("({})", vec!["uuid"; count].join(", "))
            } else {
                String::new()
            };
            let arguments = if count == 0 { String::new() } else { format!("({nulls})") };
            let settings = "SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan";
            conn.execute(sqlx::raw_sql(AssertSqlSafe(format!(
                "{settings}; PREPARE it{types} AS {statement}"
            ))))
            .await
            .unwrap();
            let explain = format!("EXPLAIN (COSTS off) EXECUTE it{arguments}");
            let rows = conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(explain))).await.unwrap();
            let steps = rows.iter().map(|row| row.get::<String, _>(0)).collect();
            conn.execute("DEALLOCATE it").await.unwrap();
            steps
        }
    }
}

/// SQLite's indexes of some rows alone: going through one of them is no scan of the table.
async fn partial_indexes(storage: &SqlStorage) -> Vec<String> {
    if storage.kind() == saas_sql::EngineKind::Postgres {
        return Vec::new();
    }
    let mut conn = storage.read(Reach::Platform("explaining")).await.unwrap();
    let query = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'";
    let rows = sqlx::query(query).fetch_all(saas_sql::sqlite(&mut conn).unwrap()).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

/// Whether a step goes through a whole table, or sorts what an index should have given in order.
fn is_whole_scan(statement: &str, step: &str, partial: &[String]) -> bool {
    let lower = statement.to_lowercase();
    let may_sort = MAY_SORT.iter().any(|may| lower.contains(may))
        || statement.contains(&format!(") AS {BOUNDED} GROUP BY"));
    let partial = partial.iter().any(|index| step.contains(index.as_str()));
    let bounded = step.strip_prefix("SCAN ").is_some_and(|of| of == BOUNDED);
    let sqlite = step.starts_with("SCAN") && !partial && !bounded && !step.contains("CONSTANT ROW");
    // What a statement makes itself, a row for each step along an index.
    let sqlite = sqlite && step != "SCAN named";
    let sorted = step.contains("TEMP B-TREE FOR ORDER BY") || step.trim_matches([' ', '-', '>']) == "Sort";
    sqlite || sorted && !may_sort || step.contains("Seq Scan on saas_")
}

fn is_explained(statement: &str) -> bool {
    let lower = statement.to_lowercase();
    let explained =
        ["select", "update", "delete", "insert", "with"].iter().any(|word| lower.starts_with(word));
    explained && lower.contains("saas_") && !MAY_SCAN.iter().any(|word| lower.contains(word))
}

async fn no_statement_reads_a_whole_table(engine: TestEngine) {
    let heard = Heard::default();
    // SQLite's statements run on threads of sqlx's own: one sink for the process. Beside other tests in it, theirs are explained too.
    let subscriber = tracing_subscriber::registry().with(heard.clone());
    tracing::subscriber::set_global_default(subscriber).expect("a test of its own process");
    let test = TestSaas::start(engine).await;
    use_everything(&test).await;
    let statements: Vec<String> = heard.lock().iter().filter(|it| is_explained(it)).cloned().collect();
    assert!(statements.len() > 40, "too few were heard: {statements:#?}");
    let partial = partial_indexes(test.saas.storage()).await;
    let mut bad = Vec::new();
    for statement in &statements {
        let steps = plan(test.saas.storage(), statement).await;
        if steps.iter().any(|step| is_whole_scan(statement, step, &partial)) {
            bad.push(format!("{statement}\n    {}", steps.join("\n    ")));
        }
    }
    // What no index serves is noticed.
    for statement in [
        "SELECT id FROM saas_users WHERE display_name = $1",
        "SELECT id FROM saas_sessions WHERE user_id = $1 ORDER BY salt",
    ] {
        let steps = plan(test.saas.storage(), statement).await;
        assert!(steps.iter().any(|step| is_whole_scan(statement, step, &partial)), "{steps:#?}");
    }
    assert!(bad.is_empty(), "{} of {}:\n{}", bad.len(), statements.len(), bad.join("\n"));
    test.drain_jobs().await;
}

mod sqlite {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_statement_reads_a_whole_table() {
        super::no_statement_reads_a_whole_table(saas_kit::testing::TestEngine::Sqlite).await;
    }
}

mod postgres {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_statement_reads_a_whole_table() {
        super::no_statement_reads_a_whole_table(saas_kit::testing::TestEngine::Postgres).await;
    }
}
