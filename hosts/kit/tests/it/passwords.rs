//! New passwords: what is judged of them, and where; and what becomes of right ones at sign-in.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use saas_auth::{
    Argon2id, Argon2idParams, BreachedPasswords, HashError, JudgePasswordError, Keyring, Password,
    PasswordAdvice, PasswordHash, PasswordHasher, PasswordOwner, SignIn, SignInError, Tokens, UserStore,
    password::BreachedError,
};
use saas_auth_sql::SqlUsers;
use saas_core::{
    Actor, Client, DisplayName, Email, ErrorKind, Fault, Reach, Secret, Storage, TenantName, UserId,
    audit::AuditFilter, entropy::SeededEntropy,
};
use saas_kit::{
    HashPool, Saas,
    testing::{PASSWORD, TestSaas, at_once},
};
use saas_sql::{execute, fetch_one};
use saas_tenancy::{Register, RegisterError, Registered};

use crate::audit::{operator, rows};

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn register(saas: &Saas, address: &str, password: &str) -> Result<Registered, RegisterError> {
    let tenant = TenantName::parse("Analytical Engines").unwrap();
    let command = Register::new(email(address), secret(password), tenant)
        .with_display_name(Some(DisplayName::parse("Augusta King").unwrap()));
    saas.tenancy().register(&Actor::system("test"), command).await
}

async fn sign_in(saas: &Saas, password: &str) -> Result<Tokens, SignInError> {
    let command = SignIn::new(email("ada@example.com"), secret(password));
    saas.auth().sign_in(&Actor::anonymous(None, Client::default()), command).await
}

fn code(error: &impl Fault) -> &'static str {
    let report = error.report();
    report.fields.first().map_or(report.code, |field| field.code)
}

async fn stored_hash(test: &TestSaas, user: UserId) -> String {
    let mut conn = test.saas.storage().read(Reach::Platform("test")).await.unwrap();
    let query = "SELECT password_hash FROM saas_users WHERE id = $1";
    let (hash,): (String,) = fetch_one!(&mut conn, (String,), query, user.as_uuid()).unwrap();
    hash
}

async fn store_hash(test: &TestSaas, user: UserId, hash: &str) {
    let mut tx = test.begin().await;
    let set = "UPDATE saas_users SET password_hash = $1 WHERE id = $2";
    assert_eq!(execute!(tx.conn(), set, hash, user.as_uuid()).unwrap(), 1);
    tx.commit().await.unwrap();
}

/// How often the audit log has that action.
async fn audited(test: &TestSaas, action: &str) -> usize {
    rows(&test.saas, &AuditFilter::default()).await.iter().filter(|row| row.entry.action == action).count()
}

/// Another server on the test's database, with other settings.
async fn server<const N: usize>(test: &TestSaas, settings: [(&str, &str); N]) -> Saas {
    static SEED: AtomicU64 = AtomicU64::new(100);
    let seed = SEED.fetch_add(1, Ordering::SeqCst);
    TestSaas::blueprint(&test.database, Arc::clone(&test.clock), seed, settings).open().await.unwrap()
}

/// A list that says what a test wants it to.
#[derive(Debug, Default)]
struct List {
    listed: Mutex<BTreeSet<String>>,
    away: Mutex<bool>,
    asked: AtomicUsize,
}

impl List {
    fn add(&self, password: &str) {
        self.listed.lock().unwrap().insert(password.to_owned());
    }

    fn be_away(&self, away: bool) {
        *self.away.lock().unwrap() = away;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl BreachedPasswords for List {
    async fn is_breached(&self, password: &Password) -> Result<bool, BreachedError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if *self.away.lock().unwrap() {
            return Err(BreachedError::new("the list is away"));
        }
        Ok(self.listed.lock().unwrap().contains(password.text()))
    }
}

async fn with_list<const N: usize>(
    engine: saas_kit::testing::TestEngine,
    settings: [(&str, &str); N],
) -> (TestSaas, Arc<List>) {
    let list = Arc::<List>::default();
    let port = Arc::clone(&list);
    (TestSaas::with_ports(engine, settings, |builder| builder.breached_passwords(port)).await, list)
}

on_both_engines! {
    async fn a_refused_password_is_told_why_in_a_code_and_a_sentence(engine: TestEngine) {
        let settings = [("APP_NAME", "Loomwork"), ("AUTH_PASSWORD_BLOCKED_WORDS", "jacquard,punchcard")];
        let test = TestSaas::with_settings(engine, settings).await;
        test.leave_jobs();
        let long = "x".repeat(1_025);
        for (password, expected) in [
            ("zebra gulp ink", "password_too_short"),
            (long.as_str(), "password_too_long"),
            ("abcabcabcabcabcabc", "password_repetitive"),
            ("PasswordPassword!1", "password_common"),
            ("AnalyticalEngines1", "password_has_tenant"),
            ("L00mwork-loomwork-1", "password_has_product"),
            ("jacquard-punchcard-2", "password_has_product"),
            ("lovelace.lovelace7", "password_has_email"),
            ("augusta-king-12345", "password_has_name"),
        ] {
            let refused = register(&test.saas, "lovelace@example.com", password).await.unwrap_err();
            assert_eq!(code(&refused), expected, "{password}");
            let report = refused.report();
            assert_eq!((report.kind, report.code), (ErrorKind::Invalid, "invalid_password"));
            assert!(!format!("{refused:?} {refused}").contains(password), "an error repeats the password");
            assert!(refused.password_advice().is_some() || expected == "password_too_long");
        }
        let done = register(&test.saas, "lovelace@example.com", "zebra gulps ink").await.unwrap();
        assert!(done.password_advice.is_none(), "{:?}", done.password_advice);
        let weak = register(&test.saas, "weak@example.com", "aaaaaaaaaaaaaaab").await.unwrap();
        let advice = weak.password_advice.expect("accepted, and told that it is weak");
        assert!(advice.score < PasswordAdvice::GOOD && !advice.suggestions.is_empty(), "{advice:?}");
    }

    async fn a_new_password_of_a_user_is_judged_by_what_they_belong_to(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.leave_jobs();
        let ada = register(&test.saas, "ada@example.com", PASSWORD).await.unwrap();
        let auth = test.saas.auth();
        for (password, expected) in
            [("analytical-engines", "password_has_tenant"), ("augusta-king-12345", "password_has_name")]
        {
            let refused = auth.judge_password("new_password", &secret(password), PasswordOwner::User(&ada.user)).await;
            let JudgePasswordError::Refused(refused) = refused.unwrap_err() else { panic!("{password}") };
            let error = JudgePasswordError::Refused(refused);
            assert_eq!((code(&error), error.report().fields[0].field.as_ref()), (expected, "new_password"));
        }
        let advice = auth.advise(&secret("analyticalengines"), PasswordOwner::User(&ada.user)).await.unwrap();
let stranger = PasswordOwner::Newcomer { email: &email("eve@example.com"), display_name: None, tenant: None };
        let elsewhere = auth.advise(&secret("analyticalengines"), stranger).await.unwrap();
        assert!(advice.score < elsewhere.score, "zxcvbn is told the words of the account: {advice:?}, {elsewhere:?}");
    }

    async fn a_stolen_password_is_not_set_and_a_list_that_is_away_goes_by_the_setting(engine: TestEngine) {
        let (test, list) = with_list(engine, []).await;
        test.leave_jobs();
        list.add("zebra gulps ink one");
        let refused = register(&test.saas, "ada@example.com", "zebra gulps ink one").await.unwrap_err();
        assert_eq!(code(&refused), "password_breached");
        list.be_away(true);
        register(&test.saas, "ada@example.com", "zebra gulps ink one").await.expect("fails open");

        let (test, list) = with_list(engine, [("BREACHED_PASSWORDS_WHEN_UNKNOWN", "refuse")]).await;
        test.leave_jobs();
        list.be_away(true);
        let refused = register(&test.saas, "ada@example.com", "zebra gulps ink two").await.unwrap_err();
        assert_eq!((refused.report().kind, code(&refused)), (ErrorKind::Unavailable, "breached_passwords_unavailable"));
        let asked = list.asked();
        let refused = register(&test.saas, "ada@example.com", "short").await.unwrap_err();
        assert_eq!((code(&refused), list.asked()), ("password_too_short", asked), "what is refused anyway asks nobody");
        list.be_away(false);
        register(&test.saas, "ada@example.com", "zebra gulps ink two").await.unwrap();
    }

    async fn who_signs_in_with_a_stolen_password_is_let_in_and_told(engine: TestEngine) {
        let (test, list) = with_list(engine, []).await;
        let ada = test.register("ada@example.com").await;
        assert!(!sign_in(&test.saas, PASSWORD).await.unwrap().password_change_required);
        list.add(PASSWORD);
        let asked = list.asked();
        assert!(sign_in(&test.saas, "not the password at all").await.is_err());
        assert_eq!(list.asked(), asked, "only a right password is looked up");
        let tokens = sign_in(&test.saas, PASSWORD).await.unwrap();
        assert!(tokens.password_change_required);
        let refreshed = test.refresh(&tokens.refresh_token).await.unwrap();
        assert!(refreshed.password_change_required, "a refresh says it, too");
        list.be_away(true);
        let asked = list.asked();
        assert!(sign_in(&test.saas, PASSWORD).await.unwrap().password_change_required, "what is known stays known");
        assert_eq!(list.asked(), asked, "and is not asked for again");
        assert_eq!(audited(&test, "auth.password.compromised").await, 1, "written down once");
        let me = test.saas.auth().user(&operator(), ada.user.id).await.unwrap();
        assert!(me.password_compromised_at.is_some());
    }

    async fn who_signs_in_with_a_stolen_password_is_kept_out_where_the_operator_says_so(engine: TestEngine) {
        let settings = [("BREACHED_PASSWORDS_AT_SIGN_IN", "refuse"), ("BREACHED_PASSWORDS_WHEN_UNKNOWN", "refuse")];
        let (test, list) = with_list(engine, settings).await;
        test.register("ada@example.com").await;
        list.be_away(true);
        let unknown = sign_in(&test.saas, PASSWORD).await.unwrap_err();
        assert!(matches!(unknown, SignInError::Breached(_)), "{unknown:?}");
        list.be_away(false);
        assert!(sign_in(&test.saas, PASSWORD).await.is_ok());
        list.add(PASSWORD);
        let refused = sign_in(&test.saas, PASSWORD).await.unwrap_err();
        assert_eq!((refused.report().kind, code(&refused)), (ErrorKind::Forbidden, "password_compromised"));
        let wrong = sign_in(&test.saas, "not the password at all").await.unwrap_err();
        assert!(matches!(wrong, SignInError::InvalidCredentials), "whoever does not know it learns nothing");
        list.be_away(true);
        assert_eq!(code(&sign_in(&test.saas, PASSWORD).await.unwrap_err()), "password_compromised", "it is written down");
        assert_eq!(audited(&test, "auth.password.compromised").await, 1);
    }

    async fn a_right_password_is_hashed_anew_when_parameters_and_pepper_move_on(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.user.id;
        let first = stored_hash(&test, ada).await;
        sign_in(&test.saas, PASSWORD).await.unwrap();
        assert_eq!(stored_hash(&test, ada).await, first, "what is current stays");

        let dearer = server(&test, [("PASSWORD_HASH_MEMORY_KIB", "128")]).await;
        assert!(sign_in(&dearer, "not the password at all").await.is_err());
        assert_eq!(stored_hash(&test, ada).await, first, "a wrong guess hashes nothing anew");
        sign_in(&dearer, PASSWORD).await.unwrap();
        let second = stored_hash(&test, ada).await;
        assert!(second.contains("m=128,t=1,p=1"), "{second}");

        let pepper = [("PASSWORD_HASH_MEMORY_KIB", "128"), ("AUTH_PASSWORD_PEPPER", "a pepper of the operator's own")];
        let peppered = server(&test, pepper).await;
        sign_in(&peppered, PASSWORD).await.unwrap();
        let third = stored_hash(&test, ada).await;
        let keyid = |hash: &str| hash.split("keyid=").nth(1).and_then(|rest| rest.split('$').next()).unwrap().to_owned();
        assert_ne!(keyid(&second), keyid(&third));
        let rotated = [("PASSWORD_HASH_MEMORY_KIB", "128"), ("AUTH_PASSWORD_PEPPER", "the next pepper, a pepper of the operator's own")];
        let rotated = server(&test, rotated).await;
        sign_in(&rotated, PASSWORD).await.unwrap();
        assert_ne!(keyid(&stored_hash(&test, ada).await), keyid(&third));
        let refused = sign_in(&peppered, PASSWORD).await.unwrap_err();
        assert!(matches!(refused, SignInError::InvalidCredentials), "a pepper that is not there opens nothing: {refused:?}");
        assert_eq!(audited(&test, "auth.password.rehashed").await, 3);
    }

    async fn a_hash_anew_never_overwrites_a_password_that_was_changed_meanwhile(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.user.id;
        let auth = test.saas.auth().clone();
        let user = auth.user(&operator(), ada).await.unwrap();
        let changed = auth.judge_password("password", &secret("zebra gulps ink"), PasswordOwner::User(&user)).await.unwrap();
        let hasher = Arc::new(Interrupting::default());
        let storage = test.saas.storage().clone();
        let new = changed.hash.clone();
        *hasher.before_hashing.lock().unwrap() = Some(Box::new(move || {
            let (storage, new) = (storage.clone(), new.clone());
            Box::pin(async move {
                let mut tx = storage.begin(Reach::Platform("test")).await.unwrap();
                let stored = SqlUsers.credentials(tx.conn(), &email("ada@example.com")).await.unwrap().unwrap();
                assert!(SqlUsers.replace_hash(&mut tx, ada, &stored.password.unwrap(), &new, stored.user.created_at).await.unwrap());
                tx.commit().await.unwrap();
            })
        }));
        let port = Arc::clone(&hasher);
        let settings = saas_kit::settings::Settings::load(&saas_kit::settings::Sources::empty().with_flags([
            ("ENVIRONMENT", "test"), ("DATABASE_URL", test.database.url()),
        ])).unwrap();
        let other = Saas::builder(settings)
            .password_hasher(port)
            .clock(test.clock.clone())
            .root_key(saas_sql::RootKey::new(&[7; 32]).unwrap())
            .build()
            .unwrap()
            .open()
            .await
            .unwrap();
        let refused = sign_in(&other, PASSWORD).await.unwrap_err();
        assert!(matches!(refused, SignInError::InvalidCredentials), "it is another password by now: {refused:?}");
        assert_eq!(hasher.hashed.load(Ordering::SeqCst), 1, "it was to be hashed anew");
        assert_eq!(stored_hash(&test, ada).await, changed.hash.as_phc());
        assert_eq!(audited(&test, "auth.password.rehashed").await, 0);
    }

    async fn many_sign_ins_at_once_hash_anew_once_and_all_get_in(engine: TestEngine) {
        // Those at one moment are each a guess until they turn out right.
        let test = TestSaas::with_settings(engine, [("AUTH_LOCKOUT_THRESHOLD", "20")]).await;
        test.register("ada@example.com").await;
        let dearer = server(&test, [("PASSWORD_HASH_MEMORY_KIB", "128"), ("AUTH_LOCKOUT_THRESHOLD", "20")]).await;
        let answers = at_once(8, |_| {
            let dearer = dearer.clone();
            async move { sign_in(&dearer, PASSWORD).await }
        })
        .await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(audited(&test, "auth.password.rehashed").await, 1);
    }

    async fn a_planted_hash_is_nobodys_password_and_costs_what_a_wrong_one_does(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_LOCKOUT_THRESHOLD", "20")]).await;
        let ada = test.register("ada@example.com").await.user.id;
        let good = stored_hash(&test, ada).await;
        for planted in [
            good.replace("m=64", "m=4000000"),
            good.replace("t=1", "t=4000000"),
            good.replace("p=1", "p=4000"),
            "$2b$12$KIXQ4S8m1Zb1Zb1Zb1Zb1eJ1Zb1Zb1Zb1Zb1Zb1Zb1Zb1Zb1Zb1Zb".to_owned(),
            String::new(),
        ] {
            store_hash(&test, ada, &planted).await;
            let refused = sign_in(&test.saas, PASSWORD).await.unwrap_err();
            assert!(matches!(refused, SignInError::InvalidCredentials), "{planted}: {refused:?}");
        }
        store_hash(&test, ada, &good).await;
        sign_in(&test.saas, PASSWORD).await.unwrap();
    }

    async fn the_last_passwords_are_not_taken_again_and_older_ones_are(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_PASSWORD_HISTORY_COUNT", "3")]).await;
        let ada = test.register("ada@example.com").await.user;
        let auth = test.saas.auth();
        let judge = |text: &str| {
            let typed = secret(text);
            let ada = &ada;
            async move { auth.judge_password("new_password", &typed, PasswordOwner::User(ada)).await }
        };
        for number in ["one", "two", "three"] {
            test.clock.advance(std::time::Duration::from_secs(1));
            let judged = judge(&format!("zebra gulps ink {number}")).await.unwrap();
            let replaced = PasswordHash::from_stored(stored_hash(&test, ada.id).await);
            let mut tx = test.begin().await;
            auth.remember_password(&mut tx, ada.id, &replaced).await.unwrap();
            assert!(SqlUsers.replace_hash(&mut tx, ada.id, &replaced, &judged.hash, ada.created_at).await.unwrap());
            tx.commit().await.unwrap();
        }
        for former in ["one", "two", "three"] {
            let refused = judge(&format!("zebra gulps ink {former}")).await.unwrap_err();
            assert_eq!(code(&refused), "password_reused", "{former}");
        }
        judge(PASSWORD).await.expect("three later ones were set");

        let none = server(&test, []).await;
        let again = none.auth().judge_password("password", &secret("zebra gulps ink three"), PasswordOwner::User(&ada)).await;
        assert!(again.is_ok(), "without a history nothing is compared");
        let mut tx = none.storage().begin(Reach::Platform("test")).await.unwrap();
        none.auth().remember_password(&mut tx, ada.id, &PasswordHash::from_stored("x".to_owned())).await.unwrap();
        tx.commit().await.unwrap();
        let mut conn = none.storage().read(Reach::Platform("test")).await.unwrap();
        let left: (i64,) = fetch_one!(&mut conn, (i64,), "SELECT COUNT(*) FROM saas_password_history").unwrap();
        assert_eq!(left, (0,), "what was kept goes with the next change");
    }

    async fn a_downloaded_list_is_looked_at_off_the_threads_that_serve(engine: TestEngine) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pwned.txt");
        // SHA-1 of "zebra gulps ink six", between two others.
        let lines = format!("{}:1\r\n{SHA1}:5\r\n{}:2\r\n", "0".repeat(40), "F".repeat(40));
        fs::write(&path, lines).unwrap();
        let settings = [("BREACHED_PASSWORDS", "file"), ("BREACHED_PASSWORDS_FILE", path.to_str().unwrap())];
        let test = TestSaas::with_settings(engine, settings).await;
        let refused = register(&test.saas, "ada@example.com", "zebra gulps ink six").await.unwrap_err();
        assert_eq!(code(&refused), "password_breached");
        register(&test.saas, "ada@example.com", "zebra gulps ink seven").await.unwrap();

        fs::write(&path, "no list").unwrap();
        let refused = TestSaas::blueprint(&test.database, Arc::clone(&test.clock), 9, settings).open().await.unwrap_err();
        assert!(refused.to_string().starts_with("BREACHED_PASSWORDS_FILE: the file at "), "{refused}");
        test.drain_jobs().await;
    }
}

#[test]
fn a_new_password_is_hashed_in_one_place_and_judged_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = BTreeSet::new();
    for folder in
        ["saas-auth/src", "saas-auth/sql/src", "saas-tenancy/src", "hosts/http/src", "hosts/cli/src"]
    {
        search(&root.join(folder), &mut found);
    }
    // Where nothing new is set: what is typed for nobody is hashed, and the right password anew.
    let others =
        ["sign_in/first_factor.rs", "recovery/proof.rs", "passwords/look_after.rs", "password/argon2id.rs"];
    found.retain(|path| !others.iter().any(|other| path.ends_with(other)) && !path.contains("conformance"));
    let found: Vec<&str> = found.iter().map(|path| path.split("saas-auth/").last().unwrap()).collect();
    assert_eq!(found, ["src/auth/passwords.rs"]);
}

/// Files that have a password hashed.
fn search(path: &Path, found: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            search(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|end| end == "rs")
        && fs::read_to_string(path).unwrap().contains("hasher.hash(")
    {
        found.insert(path.display().to_string());
    }
}

#[test]
fn a_file_that_is_missing_or_no_list_is_told_by_its_setting() {
    use saas_kit::settings::{Settings, Sources};
    let blueprint = |flags: &[(&str, &str)]| {
        let flags = [("ENVIRONMENT", "test")].into_iter().chain(flags.iter().copied());
        Saas::builder(Settings::load(&Sources::empty().with_flags(flags)).unwrap()).build()
    };
    let unset = blueprint(&[("BREACHED_PASSWORDS", "file")]).unwrap_err();
    assert!(unset.to_string().starts_with("BREACHED_PASSWORDS_FILE: is not set"), "{unset}");
    assert!(
        blueprint(&[("BREACHED_PASSWORDS", "range"), ("BREACHED_PASSWORDS_URL", "http://127.0.0.1:1")])
            .is_ok()
    );
}

const SHA1: &str = "0899EF807E076C0A6A04B85D864954095180EA3E";

type Before = Box<dyn Fn() -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

/// A hasher to which every hash is an old one, and that does something before it makes another.
struct Interrupting {
    pool: HashPool,
    before_hashing: Mutex<Option<Before>>,
    hashed: AtomicUsize,
}

impl std::fmt::Debug for Interrupting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupting")
    }
}

impl Default for Interrupting {
    fn default() -> Self {
        let entropy = Arc::new(SeededEntropy::new(1));
        let cheap = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
        let argon2id = Argon2id::new(cheap, Keyring::generate(&*entropy), entropy).unwrap();
        Self {
            pool: HashPool::new(argon2id, 0, 128),
            before_hashing: Mutex::default(),
            hashed: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl PasswordHasher for Interrupting {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.hashed.fetch_add(1, Ordering::SeqCst);
        let before = self.before_hashing.lock().unwrap().as_ref().map(|before| before());
        if let Some(before) = before {
            before.await;
        }
        self.pool.hash(password).await
    }

    /// It does not have the pepper of the test's database; what it was interrupted for is another password's.
    async fn verify(&self, _: Password, _: PasswordHash) -> Result<bool, HashError> {
        Ok(self.hashed.load(Ordering::SeqCst) == 0)
    }

    fn is_current(&self, _: &PasswordHash) -> bool {
        false
    }

    async fn advise(&self, password: Password, context: Vec<String>) -> Result<PasswordAdvice, HashError> {
        self.pool.advise(password, context).await
    }
}
