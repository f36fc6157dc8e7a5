//! Guessing: what is counted before anything is compared, what locks, who is never locked out, and how a lock ends.

use std::{
    io::Write,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    Argon2id, Argon2idParams, CommandError, Forgiven, GuessId, GuessKind, GuessStore, Guesses, HashError,
    Keyring, Locked, NewGuess, Password, PasswordAdvice, PasswordHash, PasswordHasher, RecoveryError,
    Reserved, SignIn, SignInError, Tokens,
    audited::{ACCOUNT_LOCKED, ACCOUNT_UNLOCKED, STUFFING_SUSPECTED},
};
use saas_auth_sql::SqlGuesses;
use saas_core::{
    Actor, Client, Conn, Email, ErrorKind, Fault, Grant, Mail, Quota, QuotaKey, RateLimitError, RateLimiter,
    Reach, Secret, Storage, StoreError, Tx, UserId,
    audit::{AuditAction, AuditFilter},
    clock::ManualClock,
    entropy::SeededEntropy,
};
use saas_kit::{
    HashPool, Saas,
    testing::{PASSWORD, TestEngine, TestSaas, at_once},
};
use saas_sql::fetch_one;

const WRONG: &str = "correct horse battery stapler";
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

/// Counts what is compared with a stored hash, and what is hashed to cost the same; sheds what it is told to.
#[derive(Debug)]
struct Watched {
    pool: HashPool,
    compared: AtomicUsize,
    burned: AtomicUsize,
    shed: AtomicUsize,
}

impl Watched {
    fn new() -> Arc<Self> {
        let entropy = Arc::new(SeededEntropy::new(1));
        let cheap = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
        let argon2id = Argon2id::new(cheap, Keyring::generate(&*entropy), entropy).unwrap();
        let (compared, burned, shed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { pool: HashPool::new(argon2id, 0, 1_000), compared, burned, shed })
    }

    /// What was compared and what was burned since the last call.
    fn take(&self) -> (usize, usize) {
        (self.compared.swap(0, Ordering::SeqCst), self.burned.swap(0, Ordering::SeqCst))
    }

    fn is_shed(&self) -> Result<(), HashError> {
        let left = self.shed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(HashError::Overloaded { retry_after: Duration::from_secs(1) }),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl PasswordHasher for Watched {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.is_shed()?;
        self.burned.fetch_add(1, Ordering::SeqCst);
        self.pool.hash(password).await
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        self.is_shed()?;
        self.compared.fetch_add(1, Ordering::SeqCst);
        self.pool.verify(password, hash).await
    }

    fn is_current(&self, hash: &PasswordHash) -> bool {
        self.pool.is_current(hash)
    }

    async fn advise(&self, password: Password, about: Vec<String>) -> Result<PasswordAdvice, HashError> {
        self.pool.advise(password, about).await
    }
}

/// Quotas that are out of reach.
#[derive(Debug)]
struct Away;

#[async_trait]
impl RateLimiter for Away {
    async fn take(&self, _: &QuotaKey, _: &Quota, _: u32) -> Result<Grant, RateLimitError> {
        Err(RateLimitError::Unavailable("it is away".into()))
    }

    async fn give_back(&self, _: &QuotaKey, _: &Quota, _: u32) -> Result<(), RateLimitError> {
        Err(RateLimitError::Unavailable("it is away".into()))
    }
}

/// Guesses that cannot be cleared for as long as it is told so.
#[derive(Debug, Default)]
struct Stuck(AtomicBool);

#[async_trait]
impl GuessStore for Stuck {
    async fn reserve(&self, tx: &mut Tx, guess: &NewGuess<'_>) -> Result<Option<Reserved>, StoreError> {
        SqlGuesses.reserve(tx, guess).await
    }

    async fn take_back(
        &self,
        tx: &mut Tx,
        id: &GuessId,
        reserved: &Reserved,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        SqlGuesses.take_back(tx, id, reserved, now).await
    }

    async fn clear(&self, tx: &mut Tx, id: &GuessId) -> Result<(), StoreError> {
        if self.0.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("it is away".into()));
        }
        SqlGuesses.clear(tx, id).await
    }

    async fn forgive(&self, tx: &mut Tx, user: UserId, what: Forgiven) -> Result<bool, StoreError> {
        SqlGuesses.forgive(tx, user, what).await
    }

    async fn of_user(&self, conn: &mut Conn, user: UserId, limit: u32) -> Result<Vec<Guesses>, StoreError> {
        SqlGuesses.of_user(conn, user, limit).await
    }

    async fn forget_devices(&self, tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> Result<(), StoreError> {
        SqlGuesses.forget_devices(tx, user, now).await
    }

    async fn devices_forgotten_at(
        &self,
        conn: &mut Conn,
        user: UserId,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        SqlGuesses.devices_forgotten_at(conn, user).await
    }
}

/// Somebody at an address, with the token of a device or without.
#[derive(Clone, Copy)]
struct Guesser<'a> {
    ip: Option<&'a str>,
    device: Option<&'a Secret<String>>,
}

const NOWHERE: Guesser<'static> = Guesser { ip: None, device: None };

fn from(ip: &str) -> Guesser<'_> {
    Guesser { ip: Some(ip), device: None }
}

async fn try_on(
    saas: &Saas,
    guesser: Guesser<'_>,
    email: &str,
    password: &str,
) -> Result<Tokens, SignInError> {
    let ip: Option<IpAddr> = guesser.ip.map(|ip| ip.parse().unwrap());
    let actor = Actor::anonymous(None, Client::new(ip, None));
    let command = SignIn::new(Email::parse(email).unwrap(), Secret::new(password.to_owned()))
        .with_device_token(guesser.device.cloned());
    saas.auth().sign_in(&actor, command).await
}

async fn guess(
    test: &TestSaas,
    guesser: Guesser<'_>,
    email: &str,
    password: &str,
) -> Result<Tokens, SignInError> {
    try_on(&test.saas, guesser, email, password).await
}

/// Guesses wrong so many times, each of which is answered as a wrong password is.
async fn guess_wrong(test: &TestSaas, guesser: Guesser<'_>, email: &str, times: usize) {
    for _ in 0..times {
        let answer = guess(test, guesser, email, WRONG).await;
        assert!(matches!(answer, Err(SignInError::InvalidCredentials)), "{answer:?}");
    }
}

fn is_throttled(answer: &Result<Tokens, SignInError>) -> bool {
    matches!(answer, Err(SignInError::Throttled { .. }))
}

async fn count(test: &TestSaas, query: &'static str) -> i64 {
    let mut conn = test.saas.storage().read(Reach::Platform("test")).await.unwrap();
    let (count,): (i64,) = fetch_one!(&mut conn, (i64,), query).unwrap();
    count
}

async fn rows(test: &TestSaas, action: AuditAction) -> Vec<(Option<String>, Option<String>)> {
    let filter = AuditFilter { action: Some(action), ..AuditFilter::default() };
    let size = saas_core::PageSize::new(100).unwrap();
    let page = test.saas.audit().list(&operator(), &filter, None, size).await.unwrap();
    page.items.into_iter().map(|row| (row.entry.subject, row.entry.reason)).collect()
}

fn operator() -> Actor {
    Actor::system("test")
}

async fn lock_of(test: &TestSaas, user: UserId, kind: GuessKind) -> Option<Locked> {
    let counts = test.saas.auth().guesses(&operator(), user).await.unwrap();
    counts.into_iter().find(|count| count.kind == kind).and_then(|count| count.locked)
}

async fn lock_counts(test: &TestSaas, user: UserId, kind: GuessKind) -> bool {
    let counts = test.saas.auth().guesses(&operator(), user).await.unwrap();
    counts.iter().any(|count| count.kind == kind)
}

/// The mails about locks that were sent so far, once all that are due have been.
async fn unlock_mails(test: &TestSaas) -> Vec<Mail> {
    let waiting = "SELECT COUNT(*) FROM saas_jobs WHERE kind = 'mail.send'";
    while count(test, waiting).await > 0 {
        test.saas.drain_jobs().await.unwrap();
        tokio::task::yield_now().await;
    }
    test.mail.mails().into_iter().filter(|mail| mail.template == "unlock_account").collect()
}

fn token_in(mail: &Mail) -> Secret<String> {
    let start = mail.text.find("saas_mt_").expect("the mail has a token");
    let token: String =
        mail.text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    Secret::new(token)
}

async fn unlock(test: &TestSaas, token: &Secret<String>) -> Result<(), RecoveryError> {
    test.saas.auth().unlock(&Actor::anonymous(None, Client::default()), token).await
}

/// So that the network's quota is in nobody's way.
const ANY_NETWORK: [(&str, &str); 3] = [
    ("AUTH_IP_LOCKOUT_THRESHOLD", "100000"),
    ("AUTH_SUBNET_LOCKOUT_THRESHOLD", "100000"),
    ("AUTH_STUFFING_THRESHOLD", "10000"),
];

async fn on_any_network(engine: TestEngine) -> TestSaas {
    TestSaas::with_settings(engine, ANY_NETWORK).await
}

on_both_engines! {
    async fn of_200_parallel_wrong_guesses_at_a_limit_of_10_exactly_10_compare_with_the_stored_hash_w33(engine: TestEngine) {
        let hasher = Watched::new();
        let port = Arc::clone(&hasher);
        let [a, b, c] = ANY_NETWORK;
        let settings = [a, b, c, ("AUTH_LOCKOUT_THRESHOLD", "10"), ("DATABASE_WRITE_TIMEOUT", "60"), ("SQLITE_SYNCHRONOUS", "normal"), ("DATABASE_POOL_TIMEOUT", "60")];
        let test = TestSaas::with_ports(engine, settings, |builder| builder.password_hasher(port)).await;
        test.register("ada@example.com").await;
        for (email, compared) in [("ada@example.com", 10), ("nobody@example.com", 0)] {
            hasher.take();
            let saas = test.saas.clone();
            let answers = at_once(200, move |_| {
                let saas = saas.clone();
                async move { try_on(&saas, NOWHERE, email, WRONG).await }
            })
            .await;
            assert!(answers.iter().all(|answer| matches!(answer, Err(SignInError::InvalidCredentials))));
            assert_eq!(hasher.take(), (compared, 200 - compared), "{email}");
        }
        let query = "SELECT COUNT(*) FROM saas_sign_in_guesses WHERE failures = 10 AND consecutive = 10";
        assert_eq!(count(&test, query).await, 2, "an account that is not there is counted alike");
        test.drain_jobs().await;
    }

    async fn a_locked_account_answers_the_right_password_as_a_wrong_one_and_counts_nothing(engine: TestEngine) {
        let hasher = Watched::new();
        let port = Arc::clone(&hasher);
        let test = TestSaas::with_ports(engine, [], |builder| builder.password_hasher(port)).await;
        let ada = test.register("ada@example.com").await.user.id;
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        let locked = lock_of(&test, ada, GuessKind::Account).await;
        assert_eq!(locked, Some(Locked::Until(test.saas.clock().now() + HALF_A_MINUTE)));
        hasher.take();
        let mut answers = Vec::new();
        for password in [PASSWORD, WRONG, PASSWORD] {
            let error = guess(&test, NOWHERE, "ada@example.com", password).await.unwrap_err();
            answers.push((error.to_string(), error.report().code, error.report().retry_after));
        }
        assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:?}");
        assert_eq!(hasher.take(), (0, 3), "nothing is compared, and it costs the same");
        assert_eq!(lock_of(&test, ada, GuessKind::Account).await, locked, "guessing on makes it no longer");
        let query = "SELECT COUNT(*) FROM saas_sign_in_guesses WHERE consecutive = 5";
        assert_eq!(count(&test, query).await, 1);

        test.clock.advance(HALF_A_MINUTE);
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());
        assert_eq!(count(&test, "SELECT COUNT(*) FROM saas_sign_in_guesses").await, 0, "a right one clears");
        test.drain_jobs().await;
    }

    async fn five_wrong_guesses_lock_nobody_out_for_an_hour_w32(engine: TestEngine) {
        let test = on_any_network(engine).await;
        test.register("ada@example.com").await;
        // Somebody guesses every second. The fifth locks for half a minute, and those that come meanwhile prolong nothing.
        for _ in 0..34 {
            guess_wrong(&test, from("192.0.2.1"), "ada@example.com", 1).await;
            test.clock.advance(Duration::from_secs(1));
        }
        assert!(guess(&test, from("198.51.100.1"), "ada@example.com", PASSWORD).await.is_ok());
        test.drain_jobs().await;
    }

    async fn the_owner_with_a_device_token_signs_in_during_an_attack_of_many_requests(engine: TestEngine) {
        // scripts/soak lockout has ten thousand of them.
        let requests = std::env::var("SAAS_TEST_ATTACK").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
        let hasher = Watched::new();
        let port = Arc::clone(&hasher);
        let settings = [("DATABASE_WRITE_TIMEOUT", "60"), ("DATABASE_POOL_TIMEOUT", "60"), ("SQLITE_SYNCHRONOUS", "normal")];
        let test = TestSaas::with_ports(engine, settings, |builder| builder.password_hasher(port)).await;
        test.register("ada@example.com").await;
        let mut device = test.sign_in("ada@example.com").await.unwrap().device_token.unwrap();
        hasher.take();
        let saas = test.saas.clone();
        let attack = tokio::spawn(async move {
            for round in 0..requests / 50 {
                let saas = saas.clone();
                at_once(50, move |number| {
                    let saas = saas.clone();
                    async move {
                        // From a hundred networks, and from the owner's own.
                        let ip = format!("203.0.{}.{}", round % 100, number % 10);
                        let ip = if number == 0 { "192.0.2.7" } else { ip.as_str() };
                        let answer = try_on(&saas, from(ip), "ada@example.com", WRONG).await;
                        assert!(answer.is_err());
                    }
                })
                .await;
            }
        });
        let mut signed_in = 0;
        while !attack.is_finished() || signed_in < 5 {
            let owner = Guesser { ip: Some("192.0.2.7"), device: Some(&device) };
            let tokens = guess(&test, owner, "ada@example.com", PASSWORD).await.unwrap();
            device = tokens.device_token.unwrap();
            signed_in += 1;
        }
        attack.await.unwrap();
        let (compared, _) = hasher.take();
        // For the soak's report.
        let mut report = std::io::stdout();
        writeln!(report, "lockout: {engine:?}: {requests} requests, {signed_in} sign-ins of the owner meanwhile, {compared} passwords compared").unwrap();
        assert_eq!(compared, signed_in + 5, "the clock stands still: five guesses of the attack were compared");
        assert!(guess(&test, from("192.0.2.7"), "ada@example.com", PASSWORD).await.is_err(), "it is locked for others");
        test.drain_jobs().await;
    }

    async fn a_device_has_guesses_of_its_own_and_then_those_of_everybody(engine: TestEngine) {
        let test = on_any_network(engine).await;
        let ada = test.register("ada@example.com").await.user.id;
        let device = test.sign_in("ada@example.com").await.unwrap().device_token.unwrap();
        let owner = Guesser { ip: None, device: Some(&device) };
        guess_wrong(&test, owner, "ada@example.com", 5).await;
        assert!(lock_of(&test, ada, GuessKind::Device).await.is_some());
        assert_eq!(lock_of(&test, ada, GuessKind::Account).await, None);
        assert!(guess(&test, owner, "ada@example.com", PASSWORD).await.is_ok(), "the account is not locked");
        guess_wrong(&test, owner, "ada@example.com", 5).await;
        assert!(guess(&test, owner, "ada@example.com", PASSWORD).await.is_err(), "now both are");
        assert!(unlock_mails(&test).await.len() <= 1, "nobody is mailed about a device");
        test.clock.advance(HALF_A_MINUTE);
        let tokens = guess(&test, owner, "ada@example.com", PASSWORD).await.unwrap();
        assert_eq!(lock_of(&test, ada, GuessKind::Device).await, None, "what the device did is cleared");
        assert!(tokens.device_token.is_some());
        let counts = test.saas.auth().guesses(&operator(), ada).await.unwrap();
        assert_eq!(counts.len(), 1, "and what strangers did is not: {counts:?}");
        test.drain_jobs().await;
    }

    async fn a_device_token_that_is_not_good_is_like_none(engine: TestEngine) {
        let settings = [ANY_NETWORK[0], ANY_NETWORK[1], ANY_NETWORK[2], ("AUTH_DEVICE_TOKEN_TTL_DAYS", "30")];
        let test = TestSaas::with_settings(engine, settings).await;
        let ada = test.register("ada@example.com").await.user.id;
        test.register("bob@example.com").await;
        let hers = test.sign_in("ada@example.com").await.unwrap().device_token.unwrap();
        let his = test.sign_in("bob@example.com").await.unwrap().device_token.unwrap();
        let mut forged = hers.expose().clone();
        forged.pop();
        forged.push(if hers.expose().ends_with('A') { 'B' } else { 'A' });
        let (forged, nothing) = (Secret::new(forged), Secret::new("saas_dt_".to_owned()));
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        let with = |device| Guesser { ip: None, device: Some(device) };
        for device in [&his, &forged, &nothing] {
            assert!(guess(&test, with(device), "ada@example.com", PASSWORD).await.is_err());
        }
        assert!(guess(&test, with(&hers), "ada@example.com", PASSWORD).await.is_ok());
        // Whoever is disabled, or has a new password, has signed in nowhere before.
        test.saas.auth().disable_user(&operator(), ada).await.unwrap();
        test.saas.auth().enable_user(&operator(), ada).await.unwrap();
        assert!(guess(&test, with(&hers), "ada@example.com", PASSWORD).await.is_err());
        test.clock.advance(HALF_A_MINUTE);
        let hers = test.sign_in("ada@example.com").await.unwrap().device_token.unwrap();
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        assert!(guess(&test, with(&hers), "ada@example.com", PASSWORD).await.is_ok());
        test.clock.advance(Duration::from_hours(30 * 24));
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        assert!(guess(&test, with(&hers), "ada@example.com", PASSWORD).await.is_err(), "it is too old");
        test.drain_jobs().await;
    }

    async fn counts_and_locks_outlive_the_process_that_counted(engine: TestEngine) {
        let test = on_any_network(engine).await;
        test.register("ada@example.com").await;
        let device = test.sign_in("ada@example.com").await.unwrap().device_token.unwrap();
        guess_wrong(&test, NOWHERE, "ada@example.com", 3).await;
        let other = test.replica(2).await;
        for _ in 0..2 {
            assert!(try_on(&other, NOWHERE, "ada@example.com", WRONG).await.is_err());
        }
        assert!(try_on(&other, NOWHERE, "ada@example.com", PASSWORD).await.is_err());
        let owner = Guesser { ip: None, device: Some(&device) };
        assert!(try_on(&other, owner, "ada@example.com", PASSWORD).await.is_ok());
        test.clock.advance(HALF_A_MINUTE);
        assert!(try_on(&other, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());
        test.drain_jobs().await;
    }

    async fn the_ceiling_locks_until_an_operator_unlocks(engine: TestEngine) {
        let settings = [ANY_NETWORK[0], ANY_NETWORK[1], ("AUTH_LOCKOUT_THRESHOLD", "3"), ("AUTH_LOCKOUT_CEILING", "6")];
        let test = TestSaas::with_settings(engine, settings).await;
        let ada = test.register("ada@example.com").await.user.id;
        for _ in 0..6 {
            guess_wrong(&test, NOWHERE, "ada@example.com", 1).await;
            test.clock.advance(Duration::from_mins(30));
        }
        assert_eq!(lock_of(&test, ada, GuessKind::Account).await, Some(Locked::UntilUnlocked));
        test.clock.advance(Duration::from_hours(365 * 24));
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_err());

        let nobody = UserId::generate(&**test.saas.clock(), &**test.saas.entropy());
        let auth = test.saas.auth();
        assert!(matches!(auth.unlock_user(&operator(), nobody).await, Err(CommandError::NotFound)));
        let owner = test.actor(&test.register("bob@example.com").await.tokens).await;
        assert!(matches!(auth.unlock_user(&owner, ada).await, Err(CommandError::Forbidden)));
        assert!(matches!(auth.guesses(&owner, ada).await, Err(CommandError::Forbidden)));
        assert!(auth.unlock_user(&operator(), ada).await.unwrap());
        assert!(!auth.unlock_user(&operator(), ada).await.unwrap(), "there is nothing any more");
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());
        let unlocked = rows(&test, ACCOUNT_UNLOCKED).await;
        assert_eq!(unlocked.len(), 2);
        assert_eq!(unlocked[0], (Some(format!("user:{ada}")), Some("operator".to_owned())));
        let locked: Vec<_> = rows(&test, ACCOUNT_LOCKED).await.into_iter().filter_map(|(_, reason)| reason).collect();
        assert_eq!(locked, ["ceiling", "account"], "the newest first");
        test.drain_jobs().await;
    }

    async fn a_lock_is_mailed_about_once_and_its_token_unlocks_once_under_a_race_w20(engine: TestEngine) {
        let test = on_any_network(engine).await;
        let ada = test.register("ada@example.com").await.user.id;
        guess_wrong(&test, NOWHERE, "nobody@example.com", 7).await;
        guess_wrong(&test, NOWHERE, "ada@example.com", 4).await;
        assert_eq!(unlock_mails(&test).await.len(), 0, "nothing is locked, or it is nobody's");
        let nobodys = "SELECT COUNT(*) FROM saas_one_time_tokens WHERE purpose = 'unlock' AND user_id IS NULL";
        assert_eq!(count(&test, nobodys).await, 1, "it leaves as much as somebody's does");
        for _ in 0..6 {
            guess_wrong(&test, NOWHERE, "ada@example.com", 3).await;
            test.clock.advance(Duration::from_mins(20));
        }
        let mails = unlock_mails(&test).await;
        assert_eq!(mails.len(), 1, "each further wait is no news");
        assert_eq!(mails[0].to.address.as_str(), "ada@example.com");
        let token = token_in(&mails[0]);
        guess_wrong(&test, NOWHERE, "ada@example.com", 1).await;
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_err());

        let saas = test.saas.clone();
        let shared = token.clone();
        let unlocked = at_once(8, move |_| {
            let (saas, token) = (saas.clone(), shared.clone());
            async move { saas.auth().unlock(&Actor::anonymous(None, Client::default()), &token).await }
        })
        .await;
        assert_eq!(unlocked.iter().filter(|done| done.is_ok()).count(), 1);
        assert!(unlocked.iter().all(|done| matches!(done, Ok(()) | Err(RecoveryError::InvalidToken))), "{unlocked:?}");
        assert_eq!(rows(&test, ACCOUNT_UNLOCKED).await, [(Some(format!("user:{ada}")), Some("mail".to_owned()))]);
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());

        // The next lock has a token of its own; the old one is none of its.
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        assert!(matches!(unlock(&test, &token).await, Err(RecoveryError::InvalidToken)));
        let second = token_in(&unlock_mails(&test).await[1]);
        test.clock.advance(Duration::from_hours(7 * 24));
        assert!(matches!(unlock(&test, &second).await, Err(RecoveryError::InvalidToken)), "its time is over");
        for text in ["", "saas_mt_", "saas_mt_AAAA"] {
            let none = unlock(&test, &Secret::new(text.to_owned())).await;
            assert!(matches!(none, Err(RecoveryError::InvalidToken)), "{none:?}");
        }
        test.drain_jobs().await;
    }

    async fn a_mail_that_unlocks_forgives_no_second_factor_and_is_good_for_the_address_that_it_went_to(engine: TestEngine) {
        let test = on_any_network(engine).await;
        let registered = test.register("ada@example.com").await;
        let ada = registered.user.id;
        let auth = test.saas.auth();
        let factor = auth.guess_second_factor(ada).await.unwrap().unwrap();
        auth.guessed_wrong(&operator(), Some(ada), &factor).await.unwrap();
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        let token = token_in(&unlock_mails(&test).await[0]);
        unlock(&test, &token).await.unwrap();
        assert_eq!(lock_of(&test, ada, GuessKind::Account).await, None);
        assert!(lock_counts(&test, ada, GuessKind::SecondFactor).await);

        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        let token = token_in(&unlock_mails(&test).await[1]);
        let mut tx = test.begin().await;
        let moved = "UPDATE saas_users SET email = 'eva@example.com', email_shown = 'eva@example.com' WHERE id = $1";
        saas_sql::execute!(tx.conn(), moved, ada.as_uuid()).unwrap();
        tx.commit().await.unwrap();
        assert!(matches!(unlock(&test, &token).await, Err(RecoveryError::InvalidToken)));
        test.drain_jobs().await;
    }

    async fn a_new_password_forgives_what_was_guessed_at_the_old_one_and_forgets_devices(engine: TestEngine) {
        const NEW: &str = "another horse battery";
        let test = on_any_network(engine).await;
        let registered = test.register("ada@example.com").await;
        let ada = registered.user.id;
        let (auth, anybody) = (test.saas.auth(), Actor::anonymous(None, Client::default()));
        let device = test.sign_in("ada@example.com").await.unwrap().device_token.unwrap();
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        auth.forgot_password(&anybody, &Email::parse("ada@example.com").unwrap()).await.unwrap();
        unlock_mails(&test).await;
        let mail = test.mail.wait_for(|mail| mail.template == "password_reset").await;
        auth.reset_password(&anybody, &token_in(&mail), &Secret::new(NEW.to_owned())).await.unwrap();
        assert!(!lock_counts(&test, ada, GuessKind::Account).await);
        let with = |device| Guesser { ip: None, device: Some(device) };
        guess_wrong(&test, with(&device), "ada@example.com", 1).await;
        assert!(lock_counts(&test, ada, GuessKind::Account).await, "the device is a stranger's");
        assert!(!lock_counts(&test, ada, GuessKind::Device).await);

        let tokens = guess(&test, NOWHERE, "ada@example.com", NEW).await.unwrap();
        let before = tokens.device_token.clone().unwrap();
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        let me = test.actor(&tokens).await;
        let (new, old) = (Secret::new(NEW.to_owned()), Secret::new(PASSWORD.to_owned()));
        let changed = auth.change_password(&me, &new, &old, false).await.unwrap();
        assert!(!lock_counts(&test, ada, GuessKind::Account).await);
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        assert!(guess(&test, with(&before), "ada@example.com", PASSWORD).await.is_err(), "it was forgotten");
        let after = changed.device_token.unwrap();
        assert!(guess(&test, with(&after), "ada@example.com", PASSWORD).await.is_ok(), "this one was not");
        test.drain_jobs().await;
    }

    async fn who_is_signed_in_has_guesses_of_their_own_at_their_password_which_outlive_the_process(engine: TestEngine) {
        let hasher = Watched::new();
        let port = Arc::clone(&hasher);
        let test = TestSaas::with_ports(engine, ANY_NETWORK, |builder| builder.password_hasher(port)).await;
        let registered = test.register("ada@example.com").await;
        let (ada, me) = (registered.user.id, test.actor(&registered.tokens).await);
        let prove = async |saas: &Saas, password: &str| {
            let typed = Secret::new(password.to_owned());
            saas.auth().confirm_password(&me, &typed, "a_test").await.map(drop)
        };
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        prove(&test.saas, PASSWORD).await.unwrap();
        // What is shed is taken back.
        for _ in 0..10 {
            hasher.shed.store(1, Ordering::SeqCst);
            assert!(matches!(prove(&test.saas, WRONG).await, Err(RecoveryError::Hash(HashError::Overloaded { .. }))));
        }
        hasher.take();
        let (saas, actor) = (test.saas.clone(), me.clone());
        let answers = at_once(40, move |_| {
            let (saas, actor) = (saas.clone(), actor.clone());
            async move { saas.auth().confirm_password(&actor, &Secret::new(WRONG.to_owned()), "a_test").await.map(drop) }
        })
        .await;
        let wrong = answers.iter().filter(|answer| matches!(answer, Err(RecoveryError::WrongPassword))).count();
        let (compared, burned) = hasher.take();
        assert_eq!((wrong, compared, burned), (5, 5, 0), "a user who is signed in is told at once");
        let refused = |answer: Result<(), RecoveryError>| match answer {
            Err(RecoveryError::TooOften { retry_after }) => Some(retry_after),
            _ => None,
        };
        assert_eq!(refused(prove(&test.saas, PASSWORD).await), Some(HALF_A_MINUTE));
        assert_eq!(refused(prove(&test.replica(2).await, PASSWORD).await), Some(HALF_A_MINUTE));
        test.clock.advance(HALF_A_MINUTE);
        prove(&test.saas, PASSWORD).await.unwrap();
        assert!(!lock_counts(&test, ada, GuessKind::OwnPassword).await, "a right one clears");
        assert!(lock_counts(&test, ada, GuessKind::Account).await, "and not what strangers did");
        let mut reasons: Vec<_> = rows(&test, ACCOUNT_LOCKED).await.into_iter().filter_map(|(_, reason)| reason).collect();
        reasons.sort();
        assert_eq!(reasons, ["account", "own_password"]);
        test.drain_jobs().await;
    }

    async fn guesses_at_a_second_factor_have_counters_of_their_own(engine: TestEngine) {
        let test = on_any_network(engine).await;
        let ada = test.register("ada@example.com").await.user.id;
        let auth = test.saas.auth();
        let mut last = None;
        for _ in 0..5 {
            let guessed = auth.guess_second_factor(ada).await.unwrap().expect("it may be guessed at");
            auth.guessed_wrong(&operator(), Some(ada), &guessed).await.unwrap();
            last = Some(guessed);
        }
        assert!(auth.guess_second_factor(ada).await.unwrap().is_none());
        assert!(lock_of(&test, ada, GuessKind::SecondFactor).await.is_some());
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok(), "the password is not locked");
        assert!(auth.guess_second_factor(ada).await.unwrap().is_none(), "nor does a right one unlock the factor");
        assert_eq!(unlock_mails(&test).await.len(), 0);
        let mut tx = test.begin().await;
        auth.guessed_right(&mut tx, &last.unwrap()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(auth.guess_second_factor(ada).await.unwrap().is_some());
        // Whoever has the mailbox has no more guesses at the factor by it.
        for what in [Forgiven::Passwords, Forgiven::Everything] {
            assert!(lock_counts(&test, ada, GuessKind::SecondFactor).await);
            let mut tx = test.begin().await;
            let forgiven = auth.forgive(&mut tx, ada, what).await.unwrap();
            assert_eq!(forgiven, what == Forgiven::Everything);
            tx.commit().await.unwrap();
        }
        assert_eq!(auth.guesses(&operator(), ada).await.unwrap(), []);
        test.drain_jobs().await;
    }

    async fn a_guess_that_nothing_was_compared_for_is_not_counted(engine: TestEngine) {
        let hasher = Watched::new();
        let port = Arc::clone(&hasher);
        let test = TestSaas::with_ports(engine, ANY_NETWORK, |builder| builder.password_hasher(port)).await;
        test.register("ada@example.com").await;
        hasher.shed.store(20, Ordering::SeqCst);
        for _ in 0..20 {
            let answer = guess(&test, NOWHERE, "ada@example.com", WRONG).await;
            assert!(matches!(answer, Err(SignInError::Hash(HashError::Overloaded { .. }))), "{answer:?}");
        }
        assert_eq!(count(&test, "SELECT COUNT(*) FROM saas_sign_in_guesses WHERE consecutive <> 0").await, 0);
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());
        test.drain_jobs().await;
    }

    async fn right_passwords_lock_nobody_out_while_the_storage_fails(engine: TestEngine) {
        let stuck = Arc::new(Stuck::default());
        let port = Arc::clone(&stuck);
        let test = TestSaas::with_ports(engine, ANY_NETWORK, |builder| builder.guess_store(port)).await;
        let registered = test.register("ada@example.com").await;
        let (ada, me) = (registered.user.id, test.actor(&registered.tokens).await);
        let right = Secret::new(PASSWORD.to_owned());
        stuck.0.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            let answer = guess(&test, NOWHERE, "ada@example.com", PASSWORD).await;
            assert!(matches!(answer, Err(SignInError::Store(StoreError::Unavailable(_)))), "{answer:?}");
        }
        test.saas.auth().confirm_password(&me, &right, "a_test").await.unwrap();
        assert!(lock_counts(&test, ada, GuessKind::Account).await && lock_counts(&test, ada, GuessKind::OwnPassword).await);
        stuck.0.store(false, Ordering::SeqCst);
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());
        // What nobody guesses at again is cleared as well.
        test.saas.auth().hear_changes().await.unwrap();
        assert_eq!(test.saas.auth().guesses(&operator(), ada).await.unwrap(), []);
        // Wrong ones stay.
        guess_wrong(&test, NOWHERE, "ada@example.com", 4).await;
        test.saas.auth().hear_changes().await.unwrap();
        assert!(lock_counts(&test, ada, GuessKind::Account).await);
        test.drain_jobs().await;
    }

    async fn right_passwords_that_open_nothing_are_no_wrong_guesses(engine: TestEngine) {
        let test = on_any_network(engine).await;
        let ada = test.register("ada@example.com").await.user.id;
        test.saas.auth().disable_user(&operator(), ada).await.unwrap();
        for _ in 0..10 {
            assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_err());
        }
        test.saas.auth().enable_user(&operator(), ada).await.unwrap();
        assert_eq!(count(&test, "SELECT COUNT(*) FROM saas_sign_in_guesses").await, 0);
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());
        test.drain_jobs().await;
    }

    async fn guesses_at_an_address_before_it_was_registered_are_not_its_owners(engine: TestEngine) {
        let test = on_any_network(engine).await;
        guess_wrong(&test, NOWHERE, "ada@example.com", 5).await;
        test.register("ada@example.com").await;
        assert!(guess(&test, NOWHERE, "ada@example.com", PASSWORD).await.is_ok());
        test.drain_jobs().await;
    }

    async fn what_was_guessed_is_forgotten_after_ninety_days_and_goes_with_the_user(engine: TestEngine) {
        let test = on_any_network(engine).await;
        let ada = test.register("ada@example.com").await.user.id;
        for email in ["ada@example.com", "nobody@example.com"] {
            guess_wrong(&test, NOWHERE, email, 2).await;
        }
        test.saas.auth().disable_user(&operator(), ada).await.unwrap();
        let mut tx = test.begin().await;
        saas_sql::execute!(tx.conn(), "DELETE FROM saas_memberships WHERE user_id = $1", ada.as_uuid()).unwrap();
        saas_sql::execute!(tx.conn(), "DELETE FROM saas_users WHERE id = $1", ada.as_uuid()).unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&test, "SELECT COUNT(*) FROM saas_sign_in_guesses").await, 1);
        assert_eq!(count(&test, "SELECT COUNT(*) FROM saas_forgotten_devices").await, 0);
        let purge = saas_kit::retention()
            .find_map(|retention| match &retention.keep {
                saas_sql::Keep::Until(purge) if purge.what == "expired_guesses" => Some(purge),
                _ => None,
            })
            .unwrap();
        let now = test.saas.clock().now();
        let day = Duration::from_hours(24);
        assert_eq!(test.saas.storage().purge(purge, now + 90 * day).await.unwrap(), 0);
        assert_eq!(test.saas.storage().purge(purge, now + 91 * day).await.unwrap(), 1);
        test.drain_jobs().await;
    }

    async fn a_network_that_guesses_is_refused_whomever_it_asks_for(engine: TestEngine) {
        let hasher = Watched::new();
        let port = Arc::clone(&hasher);
        let settings = [("AUTH_IP_LOCKOUT_THRESHOLD", "10"), ("AUTH_STUFFING_THRESHOLD", "1000")];
        let test = TestSaas::with_ports(engine, settings, |builder| builder.password_hasher(port)).await;
        test.register("ada@example.com").await;
        // What is right is given back, however often.
        for _ in 0..30 {
            assert!(guess(&test, from("192.0.2.1"), "ada@example.com", PASSWORD).await.is_ok());
        }
        let device = guess(&test, from("192.0.2.1"), "ada@example.com", PASSWORD).await.unwrap().device_token.unwrap();
        for number in 0..10 {
            guess_wrong(&test, from("192.0.2.1"), &format!("user{number}@example.com"), 1).await;
        }
        hasher.take();
        let mut answers = Vec::new();
        for (email, password) in [("ada@example.com", PASSWORD), ("ada@example.com", WRONG), ("nobody@example.com", WRONG)] {
            let error = guess(&test, from("192.0.2.1"), email, password).await.unwrap_err();
            let report = error.report();
            assert_eq!((report.kind, report.code), (ErrorKind::RateLimited, "too_many_attempts"));
            answers.push((error.to_string(), report.retry_after));
        }
        assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:?}");
        assert_eq!(answers[0].1, Some(Duration::from_mins(1)));
        assert_eq!(hasher.take(), (0, 0), "nothing is hashed for who may not");
        assert!(guess(&test, from("192.0.2.2"), "ada@example.com", PASSWORD).await.is_ok(), "another network may");
        let owner = Guesser { ip: Some("192.0.2.1"), device: Some(&device) };
        assert!(guess(&test, owner, "ada@example.com", PASSWORD).await.is_ok(), "and so may her device there");
        assert!(is_throttled(&guess(&test, from("::ffff:192.0.2.1"), "ada@example.com", WRONG).await));
        test.clock.advance(Duration::from_mins(1));
        assert!(guess(&test, from("192.0.2.1"), "ada@example.com", PASSWORD).await.is_ok(), "one has come back");
        test.drain_jobs().await;
    }

    async fn a_64_of_ipv6_is_one_network_and_so_is_what_surrounds_networks(engine: TestEngine) {
        let settings = [("AUTH_IP_LOCKOUT_THRESHOLD", "5"), ("AUTH_SUBNET_LOCKOUT_THRESHOLD", "12"), ("AUTH_STUFFING_THRESHOLD", "1000")];
        let test = TestSaas::with_settings(engine, settings).await;
        for ips in [
            [["2001:db8:1:1::1", "2001:db8:1:1:ffff::2"], ["2001:db8:1:2::1", "2001:db8:1:3::1"], ["2001:db8:2:1::1", "2001:db8:1:9::1"]],
            [["192.0.2.1", "192.0.2.1"], ["192.0.2.2", "192.0.2.3"], ["192.0.3.1", "192.0.2.9"]],
        ] {
            let [[one, same], [second, third], [outside, inside]] = ips;
            guess_wrong(&test, from(one), "a@example.com", 3).await;
            guess_wrong(&test, from(same), "b@example.com", 2).await;
            assert!(is_throttled(&guess(&test, from(same), "c@example.com", WRONG).await), "{same}");
            guess_wrong(&test, from(second), "c@example.com", 5).await;
            guess_wrong(&test, from(third), "d@example.com", 2).await;
            for _ in 0..10 {
                let refused = guess(&test, from(inside), "e@example.com", WRONG).await;
                assert!(is_throttled(&refused), "{inside}, for all of those around it: {refused:?}");
            }
            guess_wrong(&test, from(outside), "e@example.com", 5).await;
            test.clock.advance(Duration::from_mins(20));
        }
        test.drain_jobs().await;
    }

    async fn whoever_has_no_address_shares_one(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_IP_LOCKOUT_THRESHOLD", "5")]).await;
        for number in 0..5 {
            guess_wrong(&test, NOWHERE, &format!("user{number}@example.com"), 1).await;
        }
        assert!(is_throttled(&guess(&test, NOWHERE, "another@example.com", WRONG).await));
        guess_wrong(&test, from("192.0.2.1"), "another@example.com", 1).await;
        test.drain_jobs().await;
    }

    async fn a_network_that_tries_many_accounts_is_suspected_once_and_pays_more(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.register("ada@example.com").await;
        for number in 0..14 {
            // An account counts once, however often.
            for _ in 0..=number % 2 {
                let password = format!("the password of user {number}");
                assert!(guess(&test, from("192.0.2.1"), &format!("user{number}@example.com"), &password).await.is_err());
            }
        }
        assert_eq!(rows(&test, STUFFING_SUSPECTED).await, []);
        guess_wrong(&test, from("192.0.2.1"), "user14@example.com", 1).await;
        let told = rows(&test, STUFFING_SUSPECTED).await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1.as_deref(), Some("address"));
        assert!(!told[0].0.as_deref().unwrap().contains("192.0.2"), "it names nobody");
        // Twenty-two were paid of fifty; each costs ten from now on.
        guess_wrong(&test, from("192.0.2.1"), "user15@example.com", 2).await;
        assert!(is_throttled(&guess(&test, from("192.0.2.1"), "user16@example.com", WRONG).await));
        assert_eq!(rows(&test, STUFFING_SUSPECTED).await.len(), 1);
        assert!(guess(&test, from("192.0.2.2"), "ada@example.com", PASSWORD).await.is_ok());
        test.drain_jobs().await;
    }

    async fn one_password_for_many_accounts_is_suspected_wherever_it_comes_from(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_IP_LOCKOUT_THRESHOLD", "10")]).await;
        test.register("ada@example.com").await;
        for number in 0..15 {
            guess_wrong(&test, from(&format!("192.0.{number}.1")), &format!("user{number}@example.com"), 1).await;
        }
        let told: Vec<_> = rows(&test, STUFFING_SUSPECTED).await.into_iter().filter_map(|(_, reason)| reason).collect();
        assert_eq!(told, ["password"]);
        // That password costs two of ten from then on, and another one costs one.
        guess_wrong(&test, from("198.51.100.1"), "a@example.com", 5).await;
        assert!(is_throttled(&guess(&test, from("198.51.100.1"), "a@example.com", WRONG).await));
        for number in 0..10 {
            let other = format!("another password {number}");
            assert!(!is_throttled(&guess(&test, from("203.0.113.1"), "b@example.com", &other).await), "{number}");
        }
        test.drain_jobs().await;
    }

    async fn while_quotas_cannot_be_counted_nobody_may_guess(engine: TestEngine) {
        let hasher = Watched::new();
        let port = Arc::clone(&hasher);
        let test = TestSaas::with_ports(engine, [], |builder| builder.password_hasher(port).rate_limiter(Arc::new(Away))).await;
        test.register("ada@example.com").await;
        hasher.take();
        for password in [PASSWORD, WRONG] {
            let error = guess(&test, from("192.0.2.1"), "ada@example.com", password).await.unwrap_err();
            assert_eq!((error.report().kind, error.report().code), (ErrorKind::Unavailable, "unavailable"), "{error:?}");
        }
        assert_eq!(hasher.take(), (0, 0));
        test.drain_jobs().await;
    }
}

/// What the callers of quotas say of a limiter that is away.
#[tokio::test]
async fn who_asks_for_a_quota_says_what_happens_while_it_is_away() {
    use saas_core::{
        RateLimits,
        rate_limit::{MemoryRateLimiter, Subject, WhenAway},
    };
    let (quota, subject) = (Quota::new("test", 2, Duration::from_secs(2)), Subject::new("test", b"one"));
    let limits = RateLimits::new(Arc::new(Away), Keyring::generate(&SeededEntropy::new(1)));
    assert!(limits.take(&quota, subject, 1, WhenAway::Refuse).await.is_err());
    for _ in 0..5 {
        let grant = limits.take(&quota, subject, 1, WhenAway::Allow).await.unwrap();
        assert_eq!(grant, Grant::Allowed { remaining: 2 });
    }
    let limiter = MemoryRateLimiter::new(Arc::new(ManualClock::default()));
    let limits = RateLimits::new(Arc::new(limiter), Keyring::generate(&SeededEntropy::new(1)));
    for remaining in [1, 0] {
        let grant = limits.take(&quota, subject, 1, WhenAway::Allow).await.unwrap();
        assert_eq!(grant, Grant::Allowed { remaining });
    }
    assert!(matches!(limits.take(&quota, subject, 1, WhenAway::Allow).await.unwrap(), Grant::Refused { .. }));
}
