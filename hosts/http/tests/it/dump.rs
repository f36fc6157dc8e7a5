//! Whoever has a copy of the database and the logs has nothing that opens anything.
//!
//! After a busy run every text of both is tried as every kind of credential: as it is, in the parts that it has, decoded and encoded, and
//! put together to what a token would be if what is stored were its secret. The genuine ones are tried last: the doors do open.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use saas_auth::{
    Argon2id, Argon2idParams, DeviceToken, FactorProof, Freshness, Keyring, Password, PasswordHash,
    RecoveryError, SecondFactorSignIn, SignIn, SignInError, TotpCode,
};
use saas_core::{Actor, Client, Clock, Email, Reach, Secret, Storage, entropy::SeededEntropy, text::hex};
use saas_kit::{
    HashPool,
    testing::{PASSWORD, TestEngine, TestSaas},
};
use saas_sql::fetch_all;
use serde_json::json;
use tracing::level_filters::LevelFilter;

use crate::{
    harness::{Api, Session, credentials, get, on_both_engines, post},
    recovery::token,
    second_factor::add as add_second_factor,
    whole_database,
};

on_both_engines! {
    nothing_in_a_copy_of_the_database_and_the_logs_is_a_credential,
    a_credential_that_is_stored_is_found_however_it_is_written,
}

const NEW: &str = "another correct horse battery";
const EVE: &str = "eve@example.com";
/// As many tries as there are come from nobody.
const SETTINGS: [(&str, &str); 2] =
    [("AUTH_IP_LOCKOUT_THRESHOLD", "1000000"), ("AUTH_SUBNET_LOCKOUT_THRESHOLD", "1000000")];

/// The log, as it is written.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody broke off").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is tried.
#[derive(Debug, Default)]
struct Dump {
    texts: BTreeSet<String>,
    /// What may be a secret of the size that ours have.
    keys: BTreeSet<[u8; 32]>,
}

impl Dump {
    async fn of(test: &TestSaas, engine: TestEngine, log: &[u8]) -> Self {
        let mut dump = Self::default();
        for column in whole_database::columns(test, engine).await {
            for value in whole_database::values(test, engine, &column).await {
                dump.add(&value);
            }
        }
        for line in log.split(|byte| *byte == b'\n') {
            dump.add(line);
        }
        dump
    }

    fn add(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.add_text(text),
            Err(_) => self.add_bytes(bytes),
        }
    }

    /// The text, its parts by several kinds of separators, and what they decode to.
    fn add_text(&mut self, text: &str) {
        let text = text.trim();
        if self.keep(text) {
            self.decode(text);
        }
        let separators: [fn(char) -> bool; 5] = [
            |c| c == '"',
            char::is_whitespace,
            |c| !(c.is_ascii_alphanumeric() || "-_.+/=$".contains(c)),
            |c| !(c.is_ascii_alphanumeric() || "-_".contains(c)),
            |c| !c.is_ascii_alphanumeric(),
        ];
        for separator in separators {
            for part in text.split(separator).filter(|part| !part.is_empty()) {
                // Seen already, and with it all that comes of it.
                if self.keep(part) {
                    self.decode(part);
                }
            }
        }
    }

    fn keep(&mut self, text: &str) -> bool {
        self.texts.insert(text.to_owned())
    }

    fn decode(&mut self, part: &str) {
        let bytes = part.as_bytes();
        let pairs = bytes.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        let decoded = [
            pairs.collect::<Option<Vec<u8>>>(),
            STANDARD.decode(part).ok(),
            STANDARD_NO_PAD.decode(part).ok(),
            URL_SAFE.decode(part).ok(),
            URL_SAFE_NO_PAD.decode(part).ok(),
        ];
        for bytes in decoded.into_iter().flatten().filter(|bytes| bytes.len() >= 6) {
            match std::str::from_utf8(&bytes) {
                Ok(text) => drop(self.keep(text)),
                Err(_) => self.add_bytes(&bytes),
            }
        }
    }

    /// The bytes, in every way in which they may be written.
    fn add_bytes(&mut self, bytes: &[u8]) {
        self.keys.extend(<[u8; 32]>::try_from(bytes));
        let encoded = [
            hex(bytes),
            hex(bytes).to_uppercase(),
            STANDARD.encode(bytes),
            STANDARD_NO_PAD.encode(bytes),
            URL_SAFE.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
        ];
        for text in encoded {
            self.keep(&text);
        }
    }

    /// Tokens of the forms that ours have, of what is stored of each with everything as its secret.
    async fn put_together(&mut self, test: &TestSaas) {
        type Family = (uuid::Uuid, uuid::Uuid, uuid::Uuid, i64, i64, Vec<u8>);
        type Waiting = (uuid::Uuid, uuid::Uuid, uuid::Uuid, chrono::DateTime<chrono::Utc>);
        let mut conn = test.saas.storage().read(Reach::Platform("test")).await.expect("it answers");
        let challenges = "SELECT c.id, c.user_id, m.tenant_id, c.expires_at FROM saas_sign_in_challenges c \
                          JOIN saas_memberships m ON m.user_id = c.user_id";
        let challenges: Vec<Waiting> = fetch_all!(&mut conn, Waiting, challenges).expect("there is one");
        assert_eq!(challenges.len(), 1);
        let now = test.clock.now().timestamp().to_be_bytes();
        let sessions = "SELECT id, user_id, tenant_id, generation, version, salt FROM saas_sessions";
        let sessions: Vec<Family> = fetch_all!(&mut conn, Family, sessions).expect("there are some");
        let tokens: Vec<(uuid::Uuid,)> =
            fetch_all!(&mut conn, (uuid::Uuid,), "SELECT id FROM saas_one_time_tokens")
                .expect("there are some");
        assert!(sessions.len() > 3 && tokens.len() > 3 && self.keys.len() > 50, "{self:?}");
        for secret in &self.keys {
            for (session, user, tenant, generation, version, salt) in &sessions {
                let ids = [session, user, tenant].map(|id| id.as_bytes().as_slice()).concat();
                for (prefix, number) in [("saas_rt_", generation), ("saas_sc_", version)] {
                    let bytes = [&ids, number.to_be_bytes().as_slice(), salt, secret].concat();
                    self.texts.insert(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)));
                }
            }
            for (row, user, tenant, ends) in &challenges {
                let ids = [row, user, tenant].map(|id| id.as_bytes().as_slice()).concat();
                let bytes = [&ids, ends.timestamp().to_be_bytes().as_slice(), secret].concat();
                self.texts.insert(format!("saas_sf_{}", URL_SAFE_NO_PAD.encode(bytes)));
            }
            // Of a device only a keyed hash is stored: any name will do.
            let device = [&[0; 4], now.as_slice(), &secret[..16], secret].concat();
            self.texts.insert(format!("saas_dt_{}", URL_SAFE_NO_PAD.encode(device)));
            for (row,) in &tokens {
                let bytes = [row.as_bytes().as_slice(), secret].concat();
                self.texts.insert(format!("saas_mt_{}", URL_SAFE_NO_PAD.encode(bytes)));
            }
        }
    }
}

/// What a credential opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Password,
    Bearer,
    Refresh,
    ResetPassword,
    VerifyEmail,
    ConfirmEmailChange,
    UndoEmailChange,
    Unlock,
    Cookie,
    Challenge,
    Code,
    RecoveryCode,
    DeviceToken,
}

impl Door {
    const ALL: [Self; 13] = [
        Self::Password,
        Self::Bearer,
        Self::Refresh,
        Self::ResetPassword,
        Self::VerifyEmail,
        Self::ConfirmEmailChange,
        Self::UndoEmailChange,
        Self::Unlock,
        Self::Cookie,
        Self::Challenge,
        Self::Code,
        Self::RecoveryCode,
        Self::DeviceToken,
    ];
}

/// The product, and its hasher: as many passwords as there are to try would be locked out.
struct House {
    api: Api,
    argon2id: Argon2id,
    hashes: Vec<PasswordHash>,
    /// The codes that count, as they are compared.
    codes: Vec<String>,
    recovery_codes: Vec<String>,
}

/// A recovery code as it counts, however it is typed.
fn typed(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
}

impl House {
    async fn start(engine: TestEngine) -> Self {
        let hasher = || {
            let params = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
            let entropy = Arc::new(SeededEntropy::new(3));
            let peppers = Keyring::generate(&*entropy);
            Argon2id::new(params, peppers, entropy).expect("the parameters are good")
        };
        let pool = Arc::new(HashPool::new(hasher(), 2, 16));
        let test = TestSaas::with_ports(engine, SETTINGS, |builder| builder.password_hasher(pool)).await;
        let (codes, recovery_codes) = (Vec::new(), Vec::new());
        Self { api: Api::of(test), argon2id: hasher(), hashes: Vec::new(), codes, recovery_codes }
    }

    async fn read_hashes(&mut self) {
        let mut conn = self.api.test.saas.storage().read(Reach::Platform("test")).await.expect("it answers");
        let query = "SELECT password_hash FROM saas_users WHERE password_hash IS NOT NULL";
        let hashes = fetch_all!(&mut conn, (String,), query).expect("it answers");
        self.hashes = hashes.into_iter().map(|(hash,)| PasswordHash::from_stored(hash)).collect();
        assert_eq!(self.hashes.len(), 4);
    }

    async fn opens(&self, door: Door, text: &str) -> bool {
        let (auth, anybody) = (self.api.test.saas.auth(), Actor::anonymous(None, Client::default()));
        let secret = Secret::new(text.to_owned());
        let invalid = |done: Result<(), RecoveryError>| matches!(done, Err(RecoveryError::InvalidToken));
        match door {
            Door::Password => Password::new(&secret).is_ok_and(|password| {
                let mut hashes = self.hashes.iter();
                hashes.any(|hash| self.argon2id.verify(&password, hash).expect("it can be compared"))
            }),
            Door::Bearer => auth.authenticate(text, None, Client::default()).await.is_ok(),
            Door::Refresh => auth.refresh(&anybody, &secret).await.is_ok(),
            // A password that is not accepted: the token is not used up.
            Door::ResetPassword => {
                !invalid(auth.reset_password(&anybody, &secret, &Secret::new("short".to_owned())).await)
            }
            Door::VerifyEmail => !invalid(auth.verify_email(&anybody, &secret).await),
            Door::ConfirmEmailChange => !invalid(auth.confirm_email_change(&anybody, &secret).await),
            Door::UndoEmailChange => !invalid(auth.undo_email_change(&anybody, &secret).await),
            Door::Unlock => !invalid(auth.unlock(&anybody, &secret).await),
            Door::Cookie => {
                let client = Client::default();
                auth.authenticate_cookie(Freshness::Strict, text, None, client).await.is_ok()
            }
            // A code that is wrong: one of five that a challenge takes.
            Door::Challenge => {
                let proof = FactorProof::Code(TotpCode::parse("000000").expect("six digits"));
                let met =
                    auth.sign_in_with_second_factor(&anybody, SecondFactorSignIn::new(secret, proof)).await;
                !matches!(met, Err(SignInError::InvalidChallenge))
            }
            // Short as they are, each would take a challenge: they are held against those that count.
            Door::Code => self.codes.iter().any(|code| code == text),
            Door::RecoveryCode => {
                let typed = typed(text);
                self.recovery_codes.contains(&typed)
            }
            // What gets its owner in while strangers have locked them out.
            Door::DeviceToken => {
                let (email, password) = (Email::parse(EVE).expect("an address"), format!("{NEW}!"));
                let sign_in = SignIn::new(email, Secret::new(password)).with_device_token(Some(secret));
                DeviceToken::parse(text).is_ok() && auth.sign_in(&anybody, sign_in).await.is_ok()
            }
        }
    }
}

async fn call(api: &Api, session: Option<&Session>, path: &str, body: serde_json::Value) -> u16 {
    let call = post(&format!("/api/v1{path}")).json(&body);
    let call = session.iter().fold(call, |call, session| call.bearer(session.access()));
    api.send(call).await.status.as_u16()
}

/// What is good when everything is over.
async fn be_busy(house: &mut House) -> Vec<(Door, String)> {
    let api = &house.api;
    let (ada, bob) = (api.register("ada@example.com").await, api.register("bob@example.com").await);
    let (eve, carol) = (api.register(EVE).await, api.register("carol@example.com").await);
    let sign_in = |email: &str, password: &str| json!({ "email": email, "password": password });
    for (email, password, status) in [
        ("ada@example.com", PASSWORD, 200),
        ("ada@example.com", "not the password at all", 401),
        ("nobody@example.com", PASSWORD, 401),
        // Who mistakes one field for the other.
        (PASSWORD, "ada@example.com", 422),
    ] {
        assert_eq!(call(api, None, "/auth/token", sign_in(email, password)).await, status, "{email}");
    }
    let again = api.sign_in("ada@example.com").await;
    let refresh = json!({ "refresh_token": again.refresh() });
    assert_eq!(call(api, None, "/auth/refresh", refresh.clone()).await, 200);
    api.test.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(call(api, None, "/auth/refresh", refresh).await, 401, "a copy of it ends the session");
    let logout = json!({ "refresh_token": api.sign_in("bob@example.com").await.refresh() });
    assert_eq!(call(api, Some(&bob), "/auth/logout", logout).await, 200);
    for message in ["What is 6 * 7?", "And the horse?"] {
        assert_eq!(call(api, Some(&ada), "/chat", json!({ "message": message })).await, 200);
    }
    // Tokens where none belongs: a path, a query, a header's value that is too much.
    for path in
        [format!("/api/v1/{}", ada.access()), format!("/api/v1/auth/sessions?cursor={}", ada.refresh())]
    {
        api.send(get(&path).bearer(ada.access())).await;
    }
    // One that is used, one that is replaced, and one that is good.
    let forgot = json!({ "email": EVE });
    assert_eq!(call(api, None, "/auth/password/forgot", forgot.clone()).await, 202);
    let used = token(api, "password_reset", EVE).await;
    let confirm = json!({ "token": used, "new_password": NEW });
    assert_eq!(call(api, None, "/auth/password/confirm", confirm).await, 200);
    assert_eq!(call(api, Some(&eve), "/auth/logout/all", json!({})).await, 401, "the reset ended it");
    let eve = Session(api.send(post("/api/v1/auth/token").json(&sign_in(EVE, NEW))).await.json());
    let change = json!({ "current_password": NEW, "new_password": format!("{NEW}!") });
    assert_eq!(call(api, Some(&eve), "/auth/password/change", change).await, 200);
    for _ in 0..2 {
        assert_eq!(call(api, None, "/auth/password/forgot", forgot.clone()).await, 202);
    }
    let send = json!({ "email": "ada@example.com" });
    assert_eq!(call(api, None, "/auth/email/send", send).await, 202);
    let change = json!({ "new_email": "bob@example.org", "current_password": PASSWORD });
    assert_eq!(call(api, Some(&bob), "/auth/email/change", change).await, 202);
    let export = json!({ "current_password": PASSWORD });
    assert_eq!(call(api, Some(&ada), "/auth/account/export", export).await, 200);
    let (app, added) = add_second_factor(api, &carol).await;
    let waiting = api.send(post("/api/v1/auth/token").json(&credentials("carol@example.com"))).await.json();
    let challenge = waiting["challenge"].as_str().expect("a challenge").to_owned();
    let codes = added.0["recovery_codes"].as_array().expect("there are codes");
    let recovery_codes: Vec<_> = codes.iter().map(|code| code.as_str().expect("a code").to_owned()).collect();
    let (email, password) =
        (Email::parse("bob@example.com").expect("an address"), Secret::new(PASSWORD.to_owned()));
    let anybody = Actor::anonymous(None, Client::default());
    let tokens =
        api.test.saas.auth().sign_in(&anybody, SignIn::new(email, password)).await.expect("they sign in");
    let cookie = api.test.saas.auth().session_cookie(&tokens).expect("it has a cookie");
    let known = api.send(post("/api/v1/auth/token").json(&sign_in(EVE, &format!("{NEW}!")))).await.json();
    for _ in 0..5 {
        assert_eq!(call(api, None, "/auth/token", sign_in(EVE, "not the password at all")).await, 401);
    }
    assert_eq!(call(api, None, "/auth/token", sign_in(EVE, &format!("{NEW}!"))).await, 401, "it is locked");
    let unlock = token(api, "unlock_account", EVE).await;
    let verify = token(api, "verify_email", "ada@example.com").await;
    let reset = token(api, "password_reset", EVE).await;
    let confirm = token(api, "email_change_confirm", "bob@example.org").await;
    let undo = token(api, "email_change_notice", "bob@example.com").await;
    api.test.drain_jobs().await;
    api.test.saas.audit().seal().await.expect("it is sealed");
    house.codes = vec![app.shown()];
    house.recovery_codes = recovery_codes.iter().map(|code| typed(code)).collect();
    // As they come; each leaves the next ones good.
    vec![
        (Door::Password, PASSWORD.to_owned()),
        (Door::Password, format!("{NEW}!")),
        (Door::Bearer, ada.access().to_owned()),
        (Door::Cookie, cookie.expose().clone()),
        (Door::Refresh, ada.refresh().to_owned()),
        (Door::ResetPassword, reset),
        (Door::VerifyEmail, verify),
        (Door::ConfirmEmailChange, confirm),
        (Door::UndoEmailChange, undo),
        (Door::DeviceToken, known["device_token"].as_str().expect("a token").to_owned()),
        (Door::Unlock, unlock),
        (Door::Challenge, challenge),
        (Door::Code, app.shown()),
        (Door::RecoveryCode, recovery_codes[0].clone()),
    ]
}

async fn nothing_in_a_copy_of_the_database_and_the_logs_is_a_credential(engine: TestEngine) {
    let log = Log::default();
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(LevelFilter::DEBUG)
        .with_writer(move || lines.clone())
        .finish();
    let listening = tracing::subscriber::set_default(subscriber);
    let mut house = House::start(engine).await;
    let genuine = be_busy(&mut house).await;
    drop(listening);
    house.read_hashes().await;
    let written = std::mem::take(&mut *log.0.lock().expect("nobody broke off"));
    assert!(written.len() > 1000, "there is a log");
    let mut dump = Dump::of(&house.api.test, engine, &written).await;
    dump.put_together(&house.api.test).await;
    assert!(dump.texts.len() > 2000, "{}", dump.texts.len());
    for text in &dump.texts {
        for door in Door::ALL {
            assert!(
                !house.opens(door, text).await,
                "{door:?} opens to what stands in the database or the log: {text}"
            );
        }
    }
    for door in Door::ALL {
        assert!(genuine.iter().any(|(it, _)| *it == door), "{door:?} is tried with what is good");
    }
    for (door, text) in &genuine {
        assert!(!dump.texts.contains(text), "{door:?}");
        assert!(house.opens(*door, text).await, "{door:?} opens to what is good");
    }
    house.api.test.drain_jobs().await;
}

async fn a_credential_that_is_stored_is_found_however_it_is_written(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let before = Dump::of(&api.test, engine, b"").await;
    let mut tx = api.test.begin().await;
    let sentence = format!("the token {}, was refused", ada.access());
    let object = json!({ "password": PASSWORD, "n": 1 }).to_string();
    let encoded = STANDARD.encode(ada.refresh());
    let columns: [(&'static str, &[u8]); 3] = [
        ("UPDATE saas_users SET password_hash = $1", sentence.as_bytes()),
        ("UPDATE saas_users SET display_name = $1", object.as_bytes()),
        ("UPDATE saas_sessions SET fingerprint = $1", encoded.as_bytes()),
    ];
    for (update, text) in columns {
        let text = std::str::from_utf8(text).expect("a text");
        saas_sql::execute!(tx.conn(), update, text).expect("it is written");
    }
    let hidden = b"saas_mt_hidden-in-bytes".as_slice();
    saas_sql::execute!(tx.conn(), "UPDATE saas_sessions SET salt = $1", hidden).expect("it is written");
    tx.commit().await.expect("it is written");
    let line = format!(r#"{{"message":"asked for","path":"/x?hex={}"}}"#, hex(b"saas_mt_hidden-in-the-log"));
    let after = Dump::of(&api.test, engine, line.as_bytes()).await;
    let hidden = ["saas_mt_hidden-in-bytes", "saas_mt_hidden-in-the-log"];
    for text in [ada.access(), PASSWORD, ada.refresh()].into_iter().chain(hidden) {
        assert!(!before.texts.contains(text), "{text}");
        assert!(after.texts.contains(text), "{text}");
    }
}
