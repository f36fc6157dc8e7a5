//! What each command leaves in the log, and that no command is forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use saas_agents::{ConversationKey, ScriptedModel, StartRun};
use saas_auth::{FactorProof, RecoveryCode, SessionCredential, SignIn, StepUpProof};
use saas_core::{
    Actor, Client, Email, Reach, RequestId, Secret, Storage,
    audit::{AuditFilter, AuditRow, CHAIN_BEGUN, Chain},
    clock::ManualClock,
    envelope::DataKeys,
    jobs::{Job, JobStore},
};
use saas_kit::testing::{Authenticator, PASSWORD, TestSaas};
use saas_sql::SqlJobs;
use saas_tenancy::Registered;
use serde::{Deserialize, Serialize};

use super::{operator, rows};

/// What a service can be asked for, and why it is not in the audit log where it is not.
///
/// A new public method of a service is missing here, which a test tells: say what it does, and have [`everything`] do it.
const METHODS: &[(&str, &str, What)] = &[
    ("auth", "sign_in", Audited),
    ("auth", "refresh", Audited),
    ("auth", "logout", Audited),
    ("auth", "logout_all", Audited),
    ("auth", "logout_others", Audited),
    ("auth", "logout_here", Audited),
    ("auth", "switch", Audited),
    ("auth", "revoke_session", Audited),
    ("auth", "disable_user", Audited),
    ("auth", "enable_user", Audited),
    ("auth", "sign_in_with_second_factor", Audited),
    ("auth", "enrol_totp", Audited),
    ("auth", "confirm_totp", Audited),
    ("auth", "replace_recovery_codes", Audited),
    ("auth", "remove_totp", Audited),
    ("auth", "remove_second_factor", Audited),
    ("auth", "step_up", Audited),
    ("auth", "require_step_up", Not("it writes nothing")),
    ("auth", "second_factor", Not("it writes nothing")),
    ("auth", "second_factor_of", Not("it writes nothing")),
    ("auth", "second_factor_of_user", Not("it writes nothing")),
    ("auth", "send_verification", Audited),
    ("auth", "send_verification_to", Audited),
    ("auth", "verify_email", Audited),
    ("auth", "forgot_password", Audited),
    ("auth", "reset_password", Audited),
    ("auth", "change_password", Audited),
    ("auth", "request_password_reset", Audited),
    ("auth", "request_email_change", Audited),
    ("auth", "confirm_email_change", Audited),
    ("auth", "undo_email_change", Audited),
    ("auth", "confirm_password", Part("delete_account")),
    ("auth", "delete_in", Part("delete_account")),
    ("auth", "allow_own_export", Part("export_own_account")),
    ("auth", "allow_export", Part("export_account")),
    ("auth", "write_user", Not("it writes nothing")),
    ("auth", "write_rows_about_sessions", Not("it writes nothing")),
    ("auth", "begin_verification_of", Part("sign_up")),
    ("auth", "tell_already_registered", Part("sign_up")),
    ("auth", "mailed_token", Not("it writes nothing")),
    ("auth", "unlock_user", Audited),
    ("auth", "unlock", Audited),
    ("auth", "guessed_wrong", Part("sign_in")),
    ("auth", "rotate_signing_keys", Audited),
    ("auth", "revoke_signing_keys", Audited),
    ("auth", "insert_in", Part("register")),
    ("auth", "open_session_in", Part("register")),
    ("auth", "prepare_registration", Not("it writes nothing")),
    ("auth", "authenticate", Not("it writes nothing")),
    ("auth", "authenticate_as_of", Not("it writes nothing")),
    ("auth", "authenticate_cookie", Not("it notes that a session is in use")),
    ("auth", "refresh_by_cookie", Not("it notes that a session is in use")),
    ("auth", "examined", Not("nobody asks for it: a session was opened")),
    ("auth", "sign_ins", Not("it writes nothing")),
    ("auth", "judge_password", Not("it writes nothing")),
    ("auth", "advise", Not("it writes nothing")),
    ("auth", "remember_password", Not("it is a part of setting a password")),
    ("auth", "guess_second_factor", Not("it counts what is recorded when it is wrong")),
    ("auth", "guessed_right", Not("it is a part of what it opens")),
    ("auth", "forgive", Not("it is a part of what gives new secrets")),
    ("auth", "forget_devices", Not("it is a part of what gives new secrets")),
    ("auth", "guesses", Not("it writes nothing")),
    ("auth", "me", Not("it writes nothing")),
    ("auth", "sessions", Not("it writes nothing")),
    ("auth", "users", Not("it writes nothing")),
    ("auth", "user", Not("it writes nothing")),
    ("auth", "user_by_email", Not("it writes nothing")),
    ("auth", "session", Not("it writes nothing")),
    ("auth", "signing_keys", Not("it writes nothing")),
    ("auth", "reload_signing_keys", Not("it writes nothing")),
    ("auth", "signing_key_is_kept", Not("it writes nothing")),
    ("auth", "hear_changes", Not("it clears away what nobody needs")),
    ("auth", "decisions_grow_old", Not("it writes nothing")),
    ("auth", "renew_decisions", Not("it writes nothing")),
    ("auth", "note_change", Not("it is a part of what it tells of")),
    ("auth", "open", Not("it makes keys where there are none yet")),
    ("tenancy", "register", Audited),
    ("tenancy", "sign_up", Audited),
    ("tenancy", "delete_account", Audited),
    ("tenancy", "delete_user", Audited),
    ("tenancy", "register_in", Part("register")),
    ("tenancy", "write_memberships", Not("it writes nothing")),
    ("tenancy", "tenant", Not("it writes nothing")),
    ("tenancy", "prepare_registration", Not("it writes nothing")),
    ("agents", "rename", Audited),
    ("agents", "remove", Audited),
    ("agents", "forget_user", Part("remove")),
    ("agents", "write_conversations", Not("it writes nothing")),
    ("agents", "cancel", Audited),
    ("agents", "start", Not("the run is what is kept of it")),
    ("agents", "conversations", Not("it writes nothing")),
    ("agents", "transcript", Not("it writes nothing")),
    ("agents", "follow", Not("it writes nothing")),
    ("agents", "next", Not("it writes nothing")),
    ("agents", "run", Not("it writes nothing")),
    ("agents", "execute", Not("nobody asks for it: a run has its turn")),
    ("agents", "purge_events", Not("nobody asks for it: a bound is reached, and the stored answer stays")),
    ("agents", "recover", Not("nobody asks for it: a job was lost")),
    ("agents", "give_up_in", Not("nobody asks for it: a process is gone")),
    ("agents", "stop_cancelled", Not("it is a part of cancelling")),
    ("jobs", "retry", Audited),
    ("jobs", "cancel", Audited),
    ("jobs", "enqueue", Not("it is a part of what enqueues")),
    ("jobs", "insert", Not("it is a part of what enqueues")),
    ("jobs", "complete_in", Not("nobody asks for it: a job is done")),
    ("jobs", "keep", Not("nobody asks for it: a lease is kept")),
    ("jobs", "list", Not("it writes nothing")),
    ("jobs", "job", Not("it writes nothing")),
    ("jobs", "counts", Not("it writes nothing")),
    ("kit", "rotate_data_keys", Audited),
    ("kit", "reencrypt", Audited),
    ("kit", "export_own_account", Audited),
    ("kit", "export_account", Audited),
    ("audit", "replace_secret", Not("it is a part of what replaces one")),
    ("audit", "seal", Audited),
    ("audit", "purge", Audited),
    ("audit", "purge_passing", Not("the chain's head says what is gone")),
    ("audit", "record", Not("it is the log")),
    ("audit", "record_alone", Not("it is the log")),
    ("audit", "record_missing", Not("it is the log")),
    ("audit", "open", Not("it makes keys where there are none yet")),
    ("audit", "list", Not("it writes nothing")),
    ("audit", "rows", Not("it writes nothing")),
    ("audit", "next_chain", Not("it writes nothing")),
    ("audit", "head", Not("it writes nothing")),
    ("audit", "sealed", Not("it writes nothing")),
    ("audit", "verify", Not("it writes nothing")),
    ("audit", "write_rows", Not("it writes nothing")),
    ("audit", "write_rows_about", Not("it writes nothing")),
];

use What::{Audited, Not, Part};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// It leaves a row, which [`everything`] shows.
    Audited,
    /// It leaves one, shown with a command that it is part of.
    Part(&'static str),
    /// It leaves none, for a reason.
    Not(&'static str),
}

/// Where the services are: their public methods that wait for something are what can be asked of them.
pub(crate) const SERVICES: [(&str, &[&str]); 6] = [
    ("auth", &["saas-auth/src/auth.rs", "saas-auth/src/auth"]),
    (
        "tenancy",
        &[
            "saas-tenancy/src/tenancy.rs",
            "saas-tenancy/src/register.rs",
            "saas-tenancy/src/deletion.rs",
            "saas-tenancy/src/export.rs",
        ],
    ),
    ("agents", &["saas-agents/src/agents.rs", "saas-agents/src/agents"]),
    ("jobs", &["saas-core/src/jobs"]),
    ("audit", &["saas-core/src/audit"]),
    ("kit", &["hosts/kit/src/personal.rs", "hosts/kit/src/export.rs"]),
];

pub(crate) fn sources(path: &Path) -> String {
    if path.is_file() {
        return fs::read_to_string(path).unwrap();
    }
    fs::read_dir(path).unwrap().map(|entry| sources(&entry.unwrap().path())).collect()
}

#[test]
fn no_command_is_forgotten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = BTreeSet::new();
    for (service, paths) in SERVICES {
        let text: String = paths.iter().map(|path| sources(&root.join(path))).collect();
        let methods = text.lines().filter_map(|line| line.strip_prefix("    pub async fn "));
        found.extend(methods.map(|rest| (service, rest.split(['(', '<']).next().unwrap().to_owned())));
    }
    let listed: BTreeSet<_> =
        METHODS.iter().map(|(service, method, _)| (*service, (*method).to_owned())).collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "say what these leave in the audit log, in METHODS: {missing:?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "these are no methods any more: {gone:?}");
    assert!(METHODS.iter().any(|(_, _, what)| *what == Part("register")));
}

#[test]
fn no_action_is_forgotten() {
    let mut names = BTreeSet::new();
    let lists = [
        saas_core::audit::ACTIONS,
        saas_auth::audited::ACTIONS,
        saas_tenancy::audited::ACTIONS,
        saas_agents::audited::ACTIONS,
    ];
    for action in lists.concat() {
        assert!(names.insert(action.to_string()), "{action} twice");
    }
    // They stay for ever: rows have them.
    insta::assert_snapshot!(names.into_iter().collect::<Vec<_>>().join("\n"), @"
    agents.conversation.removed
    agents.conversation.renamed
    agents.run.cancelled
    audit.chain.begun
    audit.chain.purged
    auth.account.locked
    auth.account.unlocked
    auth.email.change_requested
    auth.email.change_undone
    auth.email.changed
    auth.email.verification_requested
    auth.email.verified
    auth.password.changed
    auth.password.compromised
    auth.password.refused
    auth.password.rehashed
    auth.password.reset
    auth.password.reset_requested
    auth.recovery_code.used
    auth.recovery_codes.replaced
    auth.refresh_token.reused
    auth.registration.repeated
    auth.second_factor.added
    auth.second_factor.begun
    auth.second_factor.removed
    auth.session.ended
    auth.session.entered
    auth.session.left
    auth.session.opened
    auth.session.reauthenticated
    auth.sessions.ended
    auth.sign_in.refused
    auth.signing_keys.rotated
    auth.stuffing.suspected
    auth.user.created
    auth.user.deleted
    auth.user.disabled
    auth.user.enabled
    auth.user.exported
    jobs.job.cancelled
    jobs.job.retried
    secrets.data_keys.rotated
    secrets.values.reencrypted
    storage.schema.migrated
    tenancy.member.added
    tenancy.tenant.created
    tenancy.tenant.suspended
    ");
}

#[derive(Debug, Serialize, Deserialize)]
struct Greet {}

impl Job for Greet {
    const KIND: &'static str = "test.greet";
}

/// What is recorded, command by command.
struct Scribe<'a> {
    test: &'a TestSaas,
    seen: BTreeSet<String>,
    shown: String,
    commands: BTreeSet<(&'static str, &'static str)>,
    actions: BTreeSet<String>,
}

/// What stands before the colon; ids differ.
fn kind(text: &str) -> &str {
    text.split(':').next().unwrap()
}

impl Scribe<'_> {
    /// Notes what the command before this call left.
    async fn note(&mut self, service: &'static str, method: &'static str, how: &str) {
        let mut new: Vec<AuditRow> = rows(&self.test.saas, &AuditFilter::default()).await;
        // The periodic job seals whenever it is due, and begins chains where it does.
        new.retain(|row| service == "audit" || row.entry.action != CHAIN_BEGUN.as_str());
        new.retain(|row| self.seen.insert(row.entry.id.to_string()));
        writeln!(self.shown, "{service} {method}{how}").unwrap();
        if !new.is_empty() {
            self.commands.insert((service, method));
        }
        let mut lines = BTreeSet::new();
        for AuditRow { entry, .. } in new {
            let chain = match entry.chain {
                Chain::Platform => "platform",
                Chain::Passing => "passing",
                Chain::Tenant(_) => "tenant",
            };
            let actor = if entry.actor.starts_with("user:") { "user" } else { &entry.actor };
            let subject = entry.subject.as_deref().map_or("-", kind);
            let reason = entry.reason.as_deref().unwrap_or("-");
            let request = if entry.request_id.is_some() { " request" } else { "" };
            let (action, outcome) = (&entry.action, &entry.outcome);
            lines.insert(format!("  {chain} {actor} {action} {subject} {outcome} {reason}{request}\n"));
            self.actions.insert(entry.action);
        }
        // Those of one millisecond come in any order.
        self.shown.extend(lines);
    }
}

fn key(key: &str) -> ConversationKey {
    ConversationKey::parse(key).unwrap()
}

async fn sign_in(test: &TestSaas, email: &str, password: &str) -> bool {
    let request: RequestId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let actor = Actor::anonymous(Some(request), Client::new("192.0.2.7".parse().ok(), Some("a browser")));
    let command = SignIn::new(Email::parse(email).unwrap(), Secret::new(password.to_owned()));
    test.saas.auth().sign_in(&actor, command).await.is_ok()
}

/// The commands on second factors.
async fn second_factors(scribe: &mut Scribe<'_>) {
    let (test, email) = (scribe.test, "carol@example.com");
    let auth = test.saas.auth();
    let tokens = test.register(email).await.tokens;
    scribe.note("tenancy", "register", ", another").await;
    let me = test.actor(&tokens).await;
    let begun = auth.enrol_totp(&me).await.unwrap();
    scribe.note("auth", "enrol_totp", "").await;
    let app = Authenticator::new(begun.secret.expose(), test.clock.clone());
    let added = auth.confirm_totp(&me, &app.code()).await.unwrap();
    scribe.note("auth", "confirm_totp", "").await;
    // The clock stands still: while it moves, workers seal.
    let mut codes = added.recovery_codes.iter().map(|code| RecoveryCode::parse(code.expose()).unwrap());
    let mut recovery = || FactorProof::RecoveryCode(codes.next().unwrap());
    let challenge = test.challenge(email).await;
    scribe.note("auth", "sign_in", ", a second factor is asked for").await;
    test.meet(&challenge, FactorProof::Code(app.wrong())).await.unwrap_err();
    scribe.note("auth", "sign_in_with_second_factor", ", wrong code").await;
    test.meet(&challenge, FactorProof::Code(app.next_code())).await.unwrap();
    scribe.note("auth", "sign_in_with_second_factor", "").await;
    let challenge = test.challenge(email).await;
    test.meet(&challenge, recovery()).await.unwrap();
    scribe.note("auth", "sign_in_with_second_factor", ", challenge and recovery code").await;
    let me = test.actor(&added.tokens).await;
    auth.step_up(&me, &StepUpProof::SecondFactor(FactorProof::Code(app.wrong()))).await.unwrap_err();
    scribe.note("auth", "step_up", ", wrong code").await;
    let tokens = auth.step_up(&me, &StepUpProof::SecondFactor(recovery())).await.unwrap();
    let me = test.actor(&tokens).await;
    scribe.note("auth", "step_up", "").await;
    auth.replace_recovery_codes(&me).await.unwrap();
    scribe.note("auth", "replace_recovery_codes", "").await;
    auth.remove_totp(&me).await.unwrap();
    scribe.note("auth", "remove_totp", "").await;
    let begun = auth.enrol_totp(&me).await.unwrap();
    let app = Authenticator::new(begun.secret.expose(), test.clock.clone());
    auth.confirm_totp(&me, &app.code()).await.unwrap();
    scribe.note("auth", "confirm_totp", ", again").await;
    auth.remove_second_factor(&operator(), tokens.user).await.unwrap();
    scribe.note("auth", "remove_second_factor", "").await;
}

/// What wrong guesses leave, and what undoes them.
async fn guess(scribe: &mut Scribe<'_>, ada: &Registered) {
    let test = scribe.test;
    let auth = test.saas.auth();
    let lock = async || {
        for _ in 0..5 {
            assert!(!sign_in(test, "ada@example.com", "not the password at all").await);
        }
        assert!(!sign_in(test, "ada@example.com", PASSWORD).await);
        mailed(test, "unlock_account").await
    };
    lock().await;
    scribe.note("auth", "sign_in", ", until it locks").await;
    auth.unlock_user(&operator(), ada.user.id).await.unwrap();
    scribe.note("auth", "unlock_user", "").await;
    let token = lock().await;
    scribe.note("auth", "sign_in", ", until it locks again").await;
    auth.unlock(&Actor::anonymous(None, Client::default()), &token).await.unwrap();
    scribe.note("auth", "unlock", "").await;
    for number in 0..15 {
        assert!(!sign_in(test, &format!("user{number}@example.com"), PASSWORD).await);
    }
    scribe.note("auth", "sign_in", ", for fifteen accounts").await;
}

/// Every command, once at least.
#[expect(clippy::too_many_lines, reason = "one line after the other, as they are listed")]
async fn everything(scribe: &mut Scribe<'_>) {
    let test = scribe.test;
    let (auth, agents, jobs) = (test.saas.auth(), test.saas.agents(), test.saas.jobs());
    scribe.note("kit", "open", "").await;
    let ada = test.register("ada@example.com").await;
    scribe.note("tenancy", "register", "").await;
    auth.verify_email(&Actor::anonymous(None, Client::default()), &mailed(test, "verify_email").await)
        .await
        .unwrap();
    scribe.note("auth", "verify_email", ", at once").await;
    assert!(sign_in(test, "ada@example.com", PASSWORD).await);
    scribe.note("auth", "sign_in", "").await;
    assert!(!sign_in(test, "ada@example.com", "not the password at all").await);
    scribe.note("auth", "sign_in", ", wrong password").await;
    assert!(!sign_in(test, "nobody@example.com", PASSWORD).await);
    scribe.note("auth", "sign_in", ", no such account").await;
    assert!(!sign_in(test, "ada@example.com", &"x".repeat(100_000)).await);
    scribe.note("auth", "sign_in", ", longer than any password").await;

    let first = test.sign_in("ada@example.com").await.unwrap();
    let second = test.sign_in("ada@example.com").await.unwrap();
    let third = test.sign_in("ada@example.com").await.unwrap();
    scribe.note("auth", "sign_in", ", three times").await;
    let me = test.actor(&third).await;
    let next = test.refresh(&first.refresh_token).await.unwrap();
    scribe.note("auth", "refresh", "").await;
    test.refresh(&next.refresh_token).await.unwrap();
    test.refresh(&first.refresh_token).await.unwrap_err();
    scribe.note("auth", "refresh", ", a token that was used").await;
    auth.revoke_session(&me, second.session).await.unwrap();
    scribe.note("auth", "revoke_session", "").await;
    auth.revoke_session(&me, second.session).await.unwrap_err();
    scribe.note("auth", "revoke_session", ", one that has ended").await;

    let start = StartRun::new("What is 6 * 7?").in_conversation(Some(key("k")));
    let run = agents.start(&me, start).await.unwrap();
    scribe.note("agents", "start", "").await;
    agents.cancel(&me, run.id).await.unwrap();
    scribe.note("agents", "cancel", "").await;
    let mut events = agents.follow(&me, run.id, 0).await.unwrap();
    while events.next().await.unwrap().is_some() {}
    agents.cancel(&me, run.id).await.unwrap();
    scribe.note("agents", "cancel", ", one that has ended").await;
    let title = saas_agents::ConversationTitle::parse("Something of ada@example.com's").unwrap();
    agents.rename(&me, &key("k"), Some(&title)).await.unwrap();
    scribe.note("agents", "rename", "").await;
    agents.remove(&me, &key("k")).await.unwrap();
    scribe.note("agents", "remove", "").await;

    let ended = auth.logout(&me, &third.refresh_token).await.unwrap();
    assert!(ended);
    scribe.note("auth", "logout", "").await;
    let tokens = test.sign_in("ada@example.com").await.unwrap();
    scribe.note("auth", "sign_in", ", again").await;
    let by = SessionCredential::RefreshToken(&tokens.refresh_token);
    let tokens = auth.switch(&Actor::anonymous(None, Client::default()), by, tokens.tenant).await.unwrap();
    scribe.note("auth", "switch", "").await;
    auth.logout_others(&test.actor(&tokens).await).await.unwrap();
    scribe.note("auth", "logout_others", "").await;
    auth.logout_here(&test.actor(&tokens).await).await.unwrap();
    scribe.note("auth", "logout_here", "").await;
    let me = test.actor(&test.sign_in("ada@example.com").await.unwrap()).await;
    scribe.note("auth", "sign_in", ", and again").await;
    auth.logout_all(&me).await.unwrap();
    scribe.note("auth", "logout_all", "").await;

    recovery(scribe).await;
    auth.disable_user(&operator(), ada.user.id).await.unwrap();
    scribe.note("auth", "disable_user", "").await;
    assert!(!sign_in(test, "ada@example.com", PASSWORD).await);
    scribe.note("auth", "sign_in", ", disabled").await;
    auth.enable_user(&operator(), ada.user.id).await.unwrap();
    scribe.note("auth", "enable_user", "").await;
    let elsewhere = SignIn::new(ada.user.email.clone(), Secret::new(PASSWORD.to_owned()))
        .with_tenant("01890a5d-ac96-774b-bcce-b302099a8057".parse().ok());
    auth.sign_in(&Actor::anonymous(None, Client::default()), elsewhere).await.unwrap_err();
    scribe.note("auth", "sign_in", ", no member").await;
    second_factors(scribe).await;
    auth.rotate_signing_keys(&operator()).await.unwrap();
    scribe.note("auth", "rotate_signing_keys", "").await;
    auth.rotate_signing_keys(&operator()).await.unwrap_err();
    scribe.note("auth", "rotate_signing_keys", ", too early").await;
    auth.revoke_signing_keys(&operator()).await.unwrap();
    scribe.note("auth", "revoke_signing_keys", "").await;

    // As a server does whose parameters are others, and that has a list with this password on it.
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    fs::write(&list, "ABF7AAD6438836DBE526AA231ABDE2D0EEF74D42:1\n").unwrap();
    let settings = [
        ("PASSWORD_HASH_MEMORY_KIB", "128"),
        ("BREACHED_PASSWORDS", "file"),
        ("BREACHED_PASSWORDS_FILE", list.to_str().unwrap()),
    ];
    let other =
        TestSaas::blueprint(&test.database, Arc::clone(&test.clock), 9, settings).open().await.unwrap();
    let command = SignIn::new(ada.user.email.clone(), Secret::new(PASSWORD.to_owned()));
    other.auth().sign_in(&Actor::anonymous(None, Client::default()), command).await.unwrap();
    scribe.note("auth", "sign_in", ", an old hash of a stolen password").await;
    guess(scribe, &ada).await;

    let mut tx = test.begin().await;
    let job = jobs.prepare(&Greet {}).unwrap().in_tenant(ada.tenant.id);
    jobs.insert(&mut tx, &job).await.unwrap();
    let until = job.due_at + Duration::from_mins(1);
    let taken = SqlJobs.claim(&mut tx, Greet::KIND, 1, "one", job.due_at, until).await.unwrap();
    assert!(SqlJobs.bury(&mut tx, &taken[0].lease("one"), "no").await.unwrap());
    tx.commit().await.unwrap();
    scribe.note("jobs", "insert", "").await;
    jobs.retry(&operator(), job.id).await.unwrap();
    scribe.note("jobs", "retry", "").await;
    jobs.cancel(&operator(), job.id).await.unwrap();
    scribe.note("jobs", "cancel", "").await;

    test.saas.rotate_data_keys(&operator()).await.unwrap();
    scribe.note("kit", "rotate_data_keys", "").await;
    test.saas.reencrypt(&operator()).await.unwrap_err();
    scribe.note("kit", "reencrypt", ", too early").await;
    test.clock.advance(DataKeys::PUBLISH_DELAY);
    test.saas.reencrypt(&operator()).await.unwrap();
    scribe.note("kit", "reencrypt", "").await;
    test.saas.reencrypt(&operator()).await.unwrap();
    scribe.note("kit", "reencrypt", ", again: nothing is left to do").await;

    no_address_is_in(test).await;
    test.saas.audit().seal().await.unwrap();
    scribe.note("audit", "seal", "").await;
    test.saas.audit().purge(&operator(), ada.tenant.id).await.unwrap();
    scribe.note("audit", "purge", "").await;
}

/// The token of the last mail of a template.
async fn mailed(test: &TestSaas, template: &str) -> Secret<String> {
    loop {
        test.saas.drain_jobs().await.unwrap();
        let mut conn = test.saas.storage().read(Reach::Platform("test")).await.unwrap();
        // Somebody else may be at one.
        let (left,) = saas_sql::fetch_one!(
            &mut conn,
            (i64,),
            "SELECT COUNT(*) FROM saas_jobs WHERE kind IN ('mail.send', 'user.deleted')"
        )
        .unwrap();
        if left == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mail = test.mail.mails().into_iter().rev().find(|mail| mail.template == template).unwrap();
    Secret::new(mail.variables.into_iter().find(|(name, _)| *name == "token").unwrap().1)
}

/// What is done by mail, by somebody of their own.
async fn recovery(scribe: &mut Scribe<'_>) {
    const NEW: &str = "another correct horse battery";
    let test = scribe.test;
    let (auth, anybody) = (test.saas.auth(), Actor::anonymous(None, Client::default()));
    let (password, new) = (Secret::new(PASSWORD.to_owned()), Secret::new(NEW.to_owned()));
    let email = |text: &str| Email::parse(text).unwrap();
    let command = |address: &str| {
        let name = saas_core::TenantName::parse("Engines").unwrap();
        saas_tenancy::Register::new(email(address), password.clone(), name)
    };
    test.saas.tenancy().sign_up(&anybody, command("bob@example.com")).await.unwrap();
    scribe.note("tenancy", "sign_up", "").await;
    test.saas.tenancy().sign_up(&anybody, command("bob@example.com")).await.unwrap();
    scribe.note("tenancy", "sign_up", ", a taken address").await;
    let tokens = test.sign_in("bob@example.com").await.unwrap();
    let bob = test.actor(&tokens).await;
    scribe.note("auth", "sign_in", ", unverified").await;
    assert!(auth.send_verification(&bob).await.unwrap());
    scribe.note("auth", "send_verification", "").await;
    auth.send_verification_to(&anybody, &email("nobody@example.com")).await.unwrap();
    scribe.note("auth", "send_verification_to", ", no such account").await;
    auth.verify_email(&anybody, &mailed(test, "verify_email").await).await.unwrap();
    scribe.note("auth", "verify_email", "").await;
    auth.forgot_password(&anybody, &email("nobody@example.com")).await.unwrap();
    scribe.note("auth", "forgot_password", ", no such account").await;
    auth.forgot_password(&anybody, &email("bob@example.com")).await.unwrap();
    scribe.note("auth", "forgot_password", "").await;
    auth.change_password(&bob, &new, &new, false).await.unwrap_err();
    scribe.note("auth", "change_password", ", a wrong password").await;
    let tokens = auth.change_password(&bob, &password, &password, true).await.unwrap();
    scribe.note("auth", "change_password", "").await;
    let bob = test.actor(&tokens).await;
    auth.request_email_change(&bob, &password, &email("b@example.com")).await.unwrap();
    scribe.note("auth", "request_email_change", "").await;
    auth.confirm_email_change(&anybody, &mailed(test, "email_change_confirm").await).await.unwrap();
    scribe.note("auth", "confirm_email_change", "").await;
    auth.request_password_reset(&bob, tokens.user).await.unwrap();
    scribe.note("auth", "request_password_reset", "").await;
    auth.undo_email_change(&anybody, &mailed(test, "email_change_notice").await).await.unwrap();
    scribe.note("auth", "undo_email_change", "").await;
    auth.reset_password(&anybody, &mailed(test, "password_reset").await, &new).await.unwrap();
    scribe.note("auth", "reset_password", "").await;
    let again = SignIn::new(email("bob@example.com"), new.clone());
    let bob = test.actor(&auth.sign_in(&anybody, again).await.unwrap()).await;
    scribe.note("auth", "sign_in", ", with the new password").await;
    test.saas.export_own_account(&bob, &new).await.unwrap();
    scribe.note("kit", "export_own_account", "").await;
    test.saas.export_account(&operator(), bob.user().unwrap().user).await.unwrap();
    scribe.note("kit", "export_account", "").await;
    test.saas.tenancy().delete_account(&bob, &new).await.unwrap();
    scribe.note("tenancy", "delete_account", "").await;
    let eve = test.register("eve@example.com").await.user.id;
    scribe.note("tenancy", "register", ", another one").await;
    test.saas.tenancy().delete_user(&operator(), eve).await.unwrap();
    scribe.note("tenancy", "delete_user", "").await;
}

on_both_engines! {
    async fn every_command_leaves_what_it_should(engine: TestEngine) {
        // A model whose clock stands still: what it is asked is not answered before it is cancelled.
        let model = ScriptedModel::new(Arc::new(ManualClock::default())).with_pace(Duration::from_secs(1));
        let settings = [("AUTH_REFRESH_GRACE_SECONDS", "0"), ("REQUIRE_EMAIL_VERIFICATION", "true")];
        let test = TestSaas::with_ports(engine, settings, |builder| builder.chat_model(Arc::new(model))).await;
        let mut scribe = Scribe {
            test: &test,
            seen: BTreeSet::new(),
            shown: String::new(),
            commands: BTreeSet::new(),
            actions: BTreeSet::new(),
        };
        everything(&mut scribe).await;
        let expected: BTreeSet<_> = METHODS
            .iter()
            .filter(|(_, _, what)| *what == Audited)
            .map(|(service, method, _)| (*service, *method))
            .chain([("kit", "open")])
            .collect();
        assert_eq!(scribe.commands, expected, "{}", scribe.shown);
        let all = [saas_core::audit::ACTIONS, saas_auth::audited::ACTIONS, saas_tenancy::audited::ACTIONS, saas_agents::audited::ACTIONS];
        let unseen: Vec<_> = all.concat().into_iter().filter(|action| !scribe.actions.contains(action.as_str())).collect();
        assert!(unseen.is_empty(), "nothing leaves these: {unseen:?}");
        insta::assert_snapshot!("commands", scribe.shown);
        test.drain_jobs().await;
    }

    async fn a_command_that_is_undone_leaves_nothing(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let before = rows(&test.saas, &AuditFilter::default()).await.len();
        let mut tx = test.begin().await;
        let command = saas_tenancy::Register::new(
            Email::parse("ada@example.com").unwrap(),
            Secret::new(PASSWORD.to_owned()),
            saas_core::TenantName::parse("Engines").unwrap(),
        );
        let tenancy = test.saas.tenancy();
        let prepared = tenancy.prepare_registration(&operator(), command).await.unwrap();
        tenancy.register_in(&mut tx, &operator(), prepared).await.unwrap();
        drop(tx);
        assert_eq!(rows(&test.saas, &AuditFilter::default()).await.len(), before);
    }

    async fn a_page_goes_on_where_the_last_one_ended(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = test.register("ada@example.com").await.tenant.id;
        for _ in 0..3 {
            test.clock.advance(Duration::from_millis(1));
            test.sign_in("ada@example.com").await.unwrap();
        }
        let filter = AuditFilter { chain: Some(Chain::Tenant(tenant)), ..AuditFilter::default() };
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let size = saas_core::PageSize::new(2).unwrap();
            let page = test.saas.audit().list(&operator(), &filter, after.as_ref(), size).await.unwrap();
            paged.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
            let other = test.saas.audit().list(&operator(), &AuditFilter::default(), after.as_ref(), size).await;
            assert!(matches!(other, Err(saas_core::audit::AuditError::Cursor(_))), "{other:?}");
        }
        paged.reverse();
        assert_eq!(paged, rows(&test.saas, &filter).await);
        assert_eq!(paged.len(), 6);
    }
}

/// Nothing of a person or a machine is in the table, whatever column.
async fn no_address_is_in(test: &TestSaas) {
    let mut conn = test.saas.storage().read(Reach::Platform("test")).await.unwrap();
    let query = "SELECT actor || action || COALESCE(subject, '') || outcome || COALESCE(reason, '') || key_id FROM saas_audit LIMIT 1000";
    let texts = saas_sql::fetch_all!(&mut conn, (String,), query).unwrap();
    let counted: BTreeMap<&str, usize> = ["example.com", "ada@", "192.0.2", "browser", PASSWORD]
        .into_iter()
        .map(|word| (word, texts.iter().filter(|(text,)| text.contains(word)).count()))
        .collect();
    assert!(counted.values().all(|count| *count == 0), "{counted:?}");
    assert!(texts.len() > 20);
}
