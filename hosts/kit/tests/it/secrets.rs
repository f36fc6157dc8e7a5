//! Sealed secrets, the root key that opens them, and the file that keeps a generated one.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use saas_core::{
    Entropy, Reach, Secret, SecretStore, SecretStoreError, Storage,
    clock::ManualClock,
    entropy::{SeededEntropy, SystemEntropy, random},
};
use saas_kit::{
    Blueprint, OpenError, RootKeyFileError, Saas,
    settings::{Settings, Sources},
    testing::{TestDatabase, TestEngine, TestSaas},
};
use saas_sql::{RootKey, RootKeyError, SealedSecrets, SqlStorage, execute, fetch_all, fetch_one};
use tokio::sync::Barrier;

use crate::engines::open;

const TEST: Reach = Reach::Platform("a test");

fn root_key(byte: u8) -> RootKey {
    RootKey::new(&[byte; 32]).unwrap()
}

fn secret(value: &str) -> Secret<Vec<u8>> {
    Secret::new(value.as_bytes().to_vec())
}

fn sealed(storage: &SqlStorage, root: RootKey) -> SealedSecrets {
    SealedSecrets::new(storage.clone(), root, Arc::<ManualClock>::default(), Arc::new(SystemEntropy))
}

/// A migrated database and its secrets.
async fn secrets(engine: TestEngine) -> (TestDatabase, SqlStorage, SealedSecrets) {
    let database = TestDatabase::create(engine).await;
    TestSaas::blueprint(&database, Arc::default(), 1, []).migrate().await.unwrap();
    let storage = open(&database).await;
    let secrets = sealed(&storage, root_key(1));
    (database, storage, secrets)
}

/// Changes the rows behind the store's back.
async fn tamper(storage: &SqlStorage, statement: &'static str) {
    let mut tx = storage.begin(TEST).await.unwrap();
    assert!(execute!(tx.conn(), statement).unwrap() > 0, "{statement}");
    tx.commit().await.unwrap();
}

async fn assert_sealed(secrets: &SealedSecrets, name: &str) {
    match secrets.get(name).await {
        Err(SecretStoreError::Sealed { name: named }) => assert_eq!(named, name),
        other => panic!("{name} opened: {other:?}"),
    }
}

/// Everything at rest: SQLite's files as they lie there; PostgreSQL's rows as text and their bytes.
pub(crate) async fn at_rest(database: &TestDatabase, storage: &SqlStorage, engine: TestEngine) -> Vec<u8> {
    match engine {
        TestEngine::Sqlite => {
            let file = Path::new(database.url().strip_prefix("sqlite:").unwrap());
            let files = fs::read_dir(file.parent().unwrap()).unwrap();
            files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
        }
        TestEngine::Postgres => {
            let mut conn = storage.read(TEST).await.unwrap();
            let rows = fetch_all!(
                &mut conn,
                (String, Vec<u8>, Vec<u8>),
                "SELECT t::text, nonce, sealed FROM saas_secrets t"
            );
            let rows = rows.unwrap().into_iter();
            rows.flat_map(|(text, nonce, sealed)| [text.into_bytes(), nonce, sealed].concat()).collect()
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// A deployment that sets no root key: one is generated in `folder`.
fn without_root_key(database: &TestDatabase, folder: &Path) -> Blueprint {
    let flags = [
        ("ENVIRONMENT", "test"),
        ("DATABASE_URL", database.url()),
        ("DATA_DIR", folder.to_str().unwrap()),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
    ];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).unwrap();
    Saas::builder(settings).build().unwrap()
}

/// A migrated database, and a folder for the generated key, which is not there yet.
async fn keyless(engine: TestEngine) -> (TestDatabase, tempfile::TempDir, PathBuf) {
    let database = TestDatabase::create(engine).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("var");
    without_root_key(&database, &data).migrate().await.unwrap();
    (database, folder, data)
}

on_both_engines! {
    async fn of_several_that_insert_one_secret_exactly_one_value_stays(engine: TestEngine) {
        const TASKS: usize = 16;
        let (_database, storage, secrets) = secrets(engine).await;
        let start = Arc::new(Barrier::new(TASKS));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (secrets, start) = (secrets.clone(), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    secrets.insert("key", &secret(&format!("value of {task}"))).await.unwrap()
                })
            })
            .collect();
        let mut values = Vec::new();
        for task in tasks {
            let stored = task.await.unwrap();
            assert_eq!(stored.version, 1);
            values.push(stored.value.expose().clone());
        }
        values.dedup();
        assert_eq!(values.len(), 1, "tasks went away with different values");
        assert!(secrets.get("key").await.unwrap().is_some_and(|stored| stored.value.equals(&values[0])));
        let mut conn = storage.read(TEST).await.unwrap();
        assert_eq!(fetch_one!(&mut conn, (i64,), "SELECT COUNT(*) FROM saas_secrets").unwrap(), (1,));
    }

    async fn of_several_that_replace_one_version_exactly_one_does(engine: TestEngine) {
        const TASKS: usize = 16;
        let (_database, _storage, secrets) = secrets(engine).await;
        secrets.insert("key", &secret("first")).await.unwrap();
        let start = Arc::new(Barrier::new(TASKS));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (secrets, start) = (secrets.clone(), Arc::clone(&start));
                tokio::spawn(async move {
                    let value = format!("value of {task}");
                    start.wait().await;
                    secrets.replace("key", 1, &secret(&value)).await.unwrap().then_some(value)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            winners.extend(task.await.unwrap());
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let stored = secrets.get("key").await.unwrap().unwrap();
        assert_eq!((stored.version, stored.value.expose().as_slice()), (2, winners[0].as_bytes()));
    }

    async fn another_root_key_opens_no_secret(engine: TestEngine) {
        let (_database, storage, secrets) = secrets(engine).await;
        secrets.insert("key", &secret("value")).await.unwrap();
        let other = sealed(&storage, root_key(2));
        assert_sealed(&other, "key").await;
        let inserted = other.insert("key", &secret("value")).await;
        assert!(matches!(inserted, Err(SecretStoreError::Sealed { .. })), "{inserted:?}");
        assert!(secrets.get("key").await.unwrap().unwrap().value.equals(b"value"), "it is as it was");
    }

    async fn another_root_key_is_refused_by_a_database_that_has_one(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (storage, clock) = (test.saas.storage(), &*test.clock);
        storage.claim(&root_key(7), clock).await.expect("the harness's own key");
        for _ in 0..2 {
            let error = storage.claim(&root_key(8), clock).await.unwrap_err();
            assert!(matches!(error, RootKeyError::Mismatch), "{error:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = without_root_key(&test.database, folder.path()).open().await.unwrap_err();
        assert!(matches!(error, OpenError::RootKey(RootKeyError::Mismatch)), "{error:?}");
        assert!(error.to_string().contains("SAAS_ROOT_KEY"), "{error}");
        test.replica(2).await;
    }

    async fn sealed_values_that_changed_places_do_not_open(engine: TestEngine) {
        let (_database, storage, secrets) = secrets(engine).await;
        for name in ["a", "b"] {
            secrets.insert(name, &secret(name)).await.unwrap();
        }
        let mut tx = storage.begin(TEST).await.unwrap();
        let rows =
            fetch_all!(tx.conn(), (Vec<u8>, Vec<u8>), "SELECT nonce, sealed FROM saas_secrets ORDER BY name").unwrap();
        for ((nonce, sealed), name) in rows.iter().zip(["b", "a"]) {
            let swap = "UPDATE saas_secrets SET nonce = $1, sealed = $2 WHERE name = $3";
            execute!(tx.conn(), swap, nonce.as_slice(), sealed.as_slice(), name).unwrap();
        }
        tx.commit().await.unwrap();
        assert_sealed(&secrets, "a").await;
        assert_sealed(&secrets, "b").await;
    }

    async fn an_older_value_under_a_newer_version_does_not_open(engine: TestEngine) {
        let (_database, storage, secrets) = secrets(engine).await;
        secrets.insert("key", &secret("value")).await.unwrap();
        tamper(&storage, "UPDATE saas_secrets SET version = 2").await;
        assert_sealed(&secrets, "key").await;
        tamper(&storage, "UPDATE saas_secrets SET version = 1").await;
        assert!(secrets.get("key").await.unwrap().unwrap().value.equals(b"value"));
        tamper(&storage, "UPDATE saas_secrets SET name = 'other'").await;
        assert_sealed(&secrets, "other").await;
    }

    async fn a_damaged_row_does_not_open(engine: TestEngine) {
        let (_database, storage, secrets) = secrets(engine).await;
        secrets.insert("key", &secret("value")).await.unwrap();
        let mut tx = storage.begin(TEST).await.unwrap();
        let (nonce, sealed) =
            fetch_one!(tx.conn(), (Vec<u8>, Vec<u8>), "SELECT nonce, sealed FROM saas_secrets").unwrap();
        tx.commit().await.unwrap();
        let flipped = |bytes: &[u8]| bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 3)).collect();
        let damages: [(Vec<u8>, Vec<u8>); 6] = [
            (nonce.clone(), flipped(&sealed)),
            (flipped(&nonce), sealed.clone()),
            (nonce[1..].to_vec(), sealed.clone()),
            (Vec::new(), sealed.clone()),
            (nonce.clone(), sealed[..sealed.len() - 1].to_vec()),
            (nonce.clone(), Vec::new()),
        ];
        for (nonce, sealed) in damages {
            let mut tx = storage.begin(TEST).await.unwrap();
            execute!(tx.conn(), "UPDATE saas_secrets SET nonce = $1, sealed = $2", nonce.as_slice(), sealed.as_slice())
                .unwrap();
            tx.commit().await.unwrap();
            assert_sealed(&secrets, "key").await;
        }
    }

    async fn nothing_readable_is_at_rest(engine: TestEngine) {
        const VALUE: &str = "the plaintext of a secret";
        let (database, storage, _) = secrets(engine).await;
        let root = RootKey::generate(&SystemEntropy);
        let secrets = sealed(&storage, root.clone());
        for name in ["a", "b"] {
            secrets.insert(name, &secret(VALUE)).await.unwrap();
        }
        let at_rest = at_rest(&database, &storage, engine).await;
        let hex = saas_core::text::hex(VALUE.as_bytes());
        assert!(contains(&at_rest, b"saas_secrets") || engine == TestEngine::Postgres, "the right files were read");
        for readable in [VALUE.as_bytes(), hex.as_bytes(), root.expose()] {
            assert!(!contains(&at_rest, readable));
        }
        let mut conn = storage.read(TEST).await.unwrap();
        let rows = fetch_all!(&mut conn, (Vec<u8>, Vec<u8>), "SELECT nonce, sealed FROM saas_secrets").unwrap();
        assert!(rows[0].0 != rows[1].0 && rows[0].1 != rows[1].1, "equal values look equal");
    }

    async fn a_sealed_store_shows_no_key(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let storage = open(&database).await;
        let shown = format!("{:?}", sealed(&storage, root_key(0xA5)));
        assert!(shown.contains("RootKey([redacted])"), "{shown}");
        assert!(!shown.contains("165") && !shown.to_lowercase().contains("a5, a5"), "{shown}");
        let stored = format!("{:?} {:?}", root_key(0xA5), secret("value"));
        assert_eq!(stored, "RootKey([redacted]) [redacted]");
    }

    async fn a_generated_root_key_is_the_same_after_a_restart(engine: TestEngine) {
        let (database, _folder, data) = keyless(engine).await;
        let file = data.join("root.key");
        let first = without_root_key(&database, &data).open().await.unwrap();
        let key = fs::read(&file).unwrap();
        let keys = first.auth().access_tokens().keys();
        first.close().await;
        let second = without_root_key(&database, &data).open().await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), key);
        assert_eq!(second.auth().access_tokens().keys().jwks().body(), keys.jwks().body());
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing but the key stayed in the folder");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_generated_root_key_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let (database, _folder, data) = keyless(TestEngine::Sqlite).await;
    without_root_key(&database, &data).open().await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data.join("root.key")), 0o600);
    assert_eq!(mode(&data), 0o700);
}

#[tokio::test]
async fn a_damaged_root_key_file_is_named_and_left_alone() {
    let (database, _folder, data) = keyless(TestEngine::Sqlite).await;
    fs::create_dir(&data).unwrap();
    let file = data.join("root.key");
    let contents: [&[u8]; 5] = [b"", b"not base64 at all!", b"c2hvcnQ=", b"\xff\xfe\x00", &[b'A'; 4096]];
    for content in contents {
        fs::write(&file, content).unwrap();
        let error = without_root_key(&database, &data).open().await.unwrap_err();
        let OpenError::RootKeyFile(RootKeyFileError::Damaged { path }) = &error else { panic!("{error:?}") };
        assert_eq!(path, &file);
        assert!(error.to_string().contains("restore it from a backup"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn a_root_key_file_that_cannot_be_made_is_named() {
    let (database, folder, _) = keyless(TestEngine::Sqlite).await;
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let error = without_root_key(&database, &file.join("var")).open().await.unwrap_err();
    assert!(matches!(error, OpenError::RootKeyFile(RootKeyFileError::Io { .. })), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn of_several_that_generate_the_root_key_all_get_the_same() {
    const PROCESSES: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let database = TestDatabase::create(TestEngine::Sqlite).await;
        let data = folder.path().join(round.to_string());
        without_root_key(&database, &data).migrate().await.unwrap();
        let storage = open(&database).await;
        let start = Arc::new(Barrier::new(PROCESSES));
        let processes: Vec<_> = (0..PROCESSES)
            .map(|process| {
                let settings = without_root_key(&database, &data).settings().clone();
                let entropy = Arc::new(SeededEntropy::new(process as u64 + 1));
                let blueprint =
                    Saas::builder(settings).storage(storage.clone()).entropy(entropy).build().unwrap();
                let start = Arc::clone(&start);
                tokio::spawn(async move {
                    start.wait().await;
                    // Who has another key is refused by the database.
                    blueprint.open().await.map(drop)
                })
            })
            .collect();
        for process in processes {
            process.await.unwrap().unwrap();
        }
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "a draft stayed behind");
        without_root_key(&database, &data).open().await.expect("the file holds the key that they got");
    }
}

#[test]
fn root_keys_differ() {
    let entropy: &dyn Entropy = &SystemEntropy;
    assert_ne!(RootKey::generate(entropy).expose(), RootKey::generate(entropy).expose());
    assert_ne!(root_key(1).fingerprint(), root_key(2).fingerprint());
    assert_eq!(root_key(1).fingerprint(), root_key(1).fingerprint());
    assert!(RootKey::new(&random::<31>(entropy)).is_err() && RootKey::new(&[]).is_err());
}
