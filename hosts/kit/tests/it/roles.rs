//! Who may do what: every command that asks who wants it, tried by everybody there is.

use std::{collections::BTreeSet, fmt::Write, sync::Arc, time::Duration};

use futures_util::{FutureExt, TryFutureExt, TryStreamExt, future::BoxFuture};
use saas_agents::{ConversationKey, ConversationTitle, RunId, ScriptedModel, StartRun};
use saas_auth::{OneTimeTokenId, SessionFilter, SignIn, StepUpProof, TotpCode};
use saas_core::{
    Actor, Client, Clock, Document, Email, ErrorKind, ExportError, Fault, PageSize, Permission, Role, Secret,
    SessionId, TenantId, TenantName, UserId,
    audit::{AuditFilter, Chain},
    clock::ManualClock,
    jobs::{JobFilter, JobId},
};
use saas_kit::testing::{PASSWORD, TestEngine, TestSaas};
use saas_tenancy::{MembershipStore, Register};
use saas_tenancy_sql::SqlMemberships;

use crate::audit::commands::{SERVICES, sources};

/// An id of nobody and nothing: who gets as far as hearing that it is not there may ask.
const NOTHING: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Those that join a transaction of whoever calls them, who has asked already who wants it; and what is not about permission.
const NOT_ASKED: [(&str, &str); 12] = [
    ("auth", "insert_in"),
    ("auth", "open_session_in"),
    ("auth", "begin_verification_of"),
    ("auth", "tell_already_registered"),
    ("auth", "delete_in"),
    ("auth", "guessed_wrong"),
    ("tenancy", "register_in"),
    ("tenancy", "prepare_registration"),
    ("audit", "record"),
    ("audit", "record_alone"),
    ("audit", "record_missing"),
    ("audit", "replace_secret"),
];

/// Whether somebody may have a part of an export written: what comes of it is read to its end.
async fn write<F>(write: F) -> Result<(), ExportError>
where
    F: FnOnce(Document) -> BoxFuture<'static, Result<(), ExportError>>,
{
    Document::written_by(write).try_for_each(async |_| Ok(())).await
}

/// The table, line by line.
struct Table {
    actors: Vec<(&'static str, Actor)>,
    lines: String,
    seen: BTreeSet<(String, String)>,
}

impl Table {
    fn note(&mut self, service: &str, method: &str, may: &[bool]) {
        let who: Vec<_> =
            self.actors.iter().zip(may).filter(|(_, may)| **may).map(|((name, _), _)| *name).collect();
        let who = if who.len() == self.actors.len() { "everybody".to_owned() } else { who.join(" ") };
        writeln!(self.lines, "{service} {method}: {who}").unwrap();
        self.seen.insert((service.to_owned(), method.to_owned()));
    }
}

/// Whether somebody was let do it, or would be if it were there.
fn may<T, E: Fault>(done: &Result<T, E>) -> bool {
    match done {
        Ok(_) => true,
        Err(error) => !matches!(error.report().kind, ErrorKind::Forbidden | ErrorKind::Unauthenticated),
    }
}

macro_rules! tried {
    ($table:ident, $service:literal, $($method:literal: |$actor:ident| $call:expr;)+) => { $({
        let mut answers = Vec::new();
        for (_, $actor) in &$table.actors {
            answers.push(may(&$call.await));
        }
        $table.note($service, $method, &answers);
    })+ };
}

/// The same of what writes a part of an export, each into a document of its own.
macro_rules! written {
    ($table:ident, $($service:ident $method:literal: |$actor:ident, $it:ident, $owner:ident, $document:ident| $call:expr;)+) => { $({
        let mut answers = Vec::new();
        for (_, actor) in &$table.actors {
            let ($actor, $it, $owner) = (actor.clone(), $service.clone(), $owner.clone());
            let written = write(move |mut $document: Document| {
                async move {
                    // Each has its own, whether it asks for it or not.
                    let ($actor, $it, $owner) = ($actor, $it, $owner);
                    let _ = &$owner;
                    $call.await
                }
                .boxed()
            });
            answers.push(may(&written.await));
        }
        $table.note(stringify!($service), $method, &answers);
    })+ };
}

/// Nobody, one with each role of one tenant, and an operator.
///
/// Beside each their own refresh token, or one of nobody's.
async fn everybody(test: &TestSaas) -> (Vec<(&'static str, Actor)>, Vec<Secret<String>>) {
    let nobodys = || Secret::new("saas_rt_forged".to_owned());
    let mut own = vec![nobodys()];
    let founder = test.register("owner@example.com").await;
    let mut actors = vec![("anonymous", Actor::anonymous(None, Client::default()))];
    for role in Role::ALL {
        let address = format!("{role}@example.com");
        if role != Role::Owner {
            let user = test.register(&address).await.user.id;
            let mut tx = test.begin().await;
            SqlMemberships
                .insert(&mut tx, user, founder.tenant.id, role, founder.tenant.created_at)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        let command = SignIn::new(Email::parse(&address).unwrap(), Secret::new(PASSWORD.to_owned()));
        let command = command.with_tenant(Some(founder.tenant.id));
        let tokens = test.saas.auth().sign_in(&actors[0].1, command).await.unwrap();
        actors.push((role.as_str(), test.actor(&tokens).await));
        own.push(tokens.refresh_token);
    }
    own.push(nobodys());
    actors.push(("operator", Actor::system("test")));
    (actors, own)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one line after the other, as they are listed")]
async fn who_may_do_what_is_what_was_decided() {
    // A model that answers nothing: runs stay where they are.
    let model = ScriptedModel::new(Arc::new(ManualClock::default())).with_pace(Duration::from_secs(1));
    let settings = [("SIGNUP_ACCESS_POLICY", "invite_only")];
    let test =
        TestSaas::with_ports(TestEngine::Sqlite, settings, |builder| builder.chat_model(Arc::new(model)))
            .await;
    let (actors, tokens) = everybody(&test).await;
    let mut table = Table { actors, lines: String::new(), seen: BTreeSet::new() };
    let (auth, tenancy, agents) = (test.saas.auth(), test.saas.tenancy(), test.saas.agents());
    let (jobs, audit, one) = (test.saas.jobs(), test.saas.audit(), PageSize::new(1).unwrap());
    let user: UserId = NOTHING.parse().unwrap();
    let session: SessionId = NOTHING.parse().unwrap();
    let tenant: TenantId = NOTHING.parse().unwrap();
    let run: RunId = NOTHING.parse().unwrap();
    let job: JobId = NOTHING.parse().unwrap();
    let email = Email::parse("nobody@example.com").unwrap();
    let (key, title) = (ConversationKey::parse("k").unwrap(), ConversationTitle::parse("t").unwrap());
    let (chain, filter) = (Chain::Tenant(tenant), AuditFilter::default());
    let sessions = SessionFilter::live();
    let token: OneTimeTokenId = NOTHING.parse().unwrap();
    let [password, short, nothing] =
        [PASSWORD, "short", "saas_mt_forged"].map(|text| Secret::new(text.to_owned()));
    let code = TotpCode::parse("123456").unwrap();
    let long_ago = test.clock.now() - Duration::from_hours(24 * 365);
    let register = || {
        let name = TenantName::parse("Engines").unwrap();
        // Too short, which only whoever may register is told.
        Register::new(email.clone(), Secret::new("short".to_owned()), name)
    };

    tried! { table, "agents",
        "start": |actor| agents.start(actor, StartRun::new("What is 6 * 7?"));
        "run": |actor| agents.run(actor, run);
        "follow": |actor| agents.follow(actor, run, 0);
        "cancel": |actor| agents.cancel(actor, run);
        "conversations": |actor| agents.conversations(actor, None, one);
        "transcript": |actor| agents.transcript(actor, &key, 0, 1);
        "rename": |actor| agents.rename(actor, &key, Some(&title));
        "remove": |actor| agents.remove(actor, &key);
        "forget_user": |actor| agents.forget_user(actor, tenant, user);
    }
    tried! { table, "audit",
        "list": |actor| audit.list(actor, &filter, None, one);
        "next_chain": |actor| audit.next_chain(actor, None);
        "head": |actor| audit.head(actor, chain);
        "sealed": |actor| audit.sealed(actor, chain, None, one);
        "verify": |actor| audit.verify(actor, None, &mut |_| {});
        "purge": |actor| audit.purge(actor, tenant);
        "purge_passing": |actor| audit.purge_passing(actor, long_ago);
    }
    tried! { table, "kit",
        "export_own_account": |actor| test.saas.export_own_account(actor, &password);
        "export_account": |actor| test.saas.export_account(actor, user);
        "rotate_data_keys": |actor| test.saas.rotate_data_keys(actor);
        "reencrypt": |actor| test.saas.reencrypt(actor);
    }
    tried! { table, "jobs",
        "list": |actor| jobs.list(actor, &JobFilter::default(), None, one);
        "counts": |actor| jobs.counts(actor);
        "job": |actor| jobs.job(actor, job);
        "retry": |actor| jobs.retry(actor, job);
        "cancel": |actor| jobs.cancel(actor, job);
    }
    tried! { table, "tenancy",
        "register": |actor| tenancy.register(actor, register());
        "sign_up": |actor| tenancy.sign_up(actor, register());
        "tenant": |actor| tenancy.tenant(actor, tenant);
        "delete_user": |actor| tenancy.delete_user(actor, user);
    }
    tried! { table, "auth",
        "me": |actor| auth.me(actor);
        "sessions": |actor| auth.sessions(actor, &sessions, None, 0, one);
        "revoke_session": |actor| auth.revoke_session(actor, session);
        "users": |actor| auth.users(actor, None, one);
        "user": |actor| auth.user(actor, user);
        "user_by_email": |actor| auth.user_by_email(actor, &email);
        "session": |actor| auth.session(actor, session);
        "disable_user": |actor| auth.disable_user(actor, user);
        "enable_user": |actor| auth.enable_user(actor, user);
        "signing_keys": |actor| auth.signing_keys(actor);
        "rotate_signing_keys": |actor| auth.rotate_signing_keys(actor);
        "revoke_signing_keys": |actor| auth.revoke_signing_keys(actor);
        "forgot_password": |actor| auth.forgot_password(actor, &email);
        "request_password_reset": |actor| auth.request_password_reset(actor, user);
        "reset_password": |actor| auth.reset_password(actor, &nothing, &short);
        "change_password": |actor| auth.change_password(actor, &password, &short, false);
        "allow_own_export": |actor| auth.allow_own_export(actor, &password);
        "allow_export": |actor| auth.allow_export(actor, user);
        "confirm_password": |actor| auth.confirm_password(actor, &password, "a test");
        "send_verification": |actor| auth.send_verification(actor);
        "send_verification_to": |actor| auth.send_verification_to(actor, &email);
        "verify_email": |actor| auth.verify_email(actor, &nothing);
        "request_email_change": |actor| auth.request_email_change(actor, &password, &email);
        "confirm_email_change": |actor| auth.confirm_email_change(actor, &nothing);
        "undo_email_change": |actor| auth.undo_email_change(actor, &nothing);
        "mailed_token": |actor| auth.mailed_token(actor, token);
        "sign_ins": |actor| auth.sign_ins(actor, None, one);
        "logout_others": |actor| auth.logout_others(actor);
        "logout_here": |actor| auth.logout_here(actor);
        "second_factor": |actor| auth.second_factor(actor);
        "second_factor_of_user": |actor| auth.second_factor_of_user(actor, user);
        "remove_second_factor": |actor| auth.remove_second_factor(actor, user);
        "require_step_up": |actor| auth.require_step_up(actor, Duration::from_mins(10));
        "step_up": |actor| auth.step_up(actor, &StepUpProof::Password(password.clone()));
        "enrol_totp": |actor| auth.enrol_totp(actor);
        "confirm_totp": |actor| auth.confirm_totp(actor, &code);
        "replace_recovery_codes": |actor| auth.replace_recovery_codes(actor);
        "remove_totp": |actor| auth.remove_totp(actor);
        "unlock": |actor| auth.unlock(actor, &nothing);
        "unlock_user": |actor| auth.unlock_user(actor, user);
        "guesses": |actor| auth.guesses(actor, user);
        "logout_all": |actor| auth.logout_all(actor);
    }
    let (of, owner) = (Actor::system("test"), Email::parse("owner@example.com").unwrap());
    let owner = auth.user_by_email(&of, &owner).await.unwrap();
    written! { table,
        auth "write_user": |actor, it, owner, document| it.write_user(&actor, &owner, &mut document);
        auth "write_rows_about_sessions": |actor, it, owner, document| it.write_rows_about_sessions(&actor, owner.id, &mut document);
        tenancy "write_memberships": |actor, it, owner, document| it.write_memberships(&actor, owner.id, &mut document).map_ok(drop);
        agents "write_conversations": |actor, it, owner, document| it.write_conversations(&actor, tenant, owner.id, &mut document);
        audit "write_rows": |actor, it, owner, document| it.write_rows(&actor, owner.id, &mut document);
        audit "write_rows_about": |actor, it, owner, document| it.write_rows_about(&actor, owner.id, session.into(), &mut document);
    }
    let mut signed_out = Vec::new();
    for ((_, actor), own) in table.actors.iter().zip(&tokens) {
        signed_out.push(may(&auth.logout(actor, own).await));
    }
    table.note("auth", "logout", &signed_out);
    // A credential asks for itself: it is wrong for everybody.
    table.note("auth", "sign_in", &vec![true; table.actors.len()]);
    table.note("auth", "sign_in_with_second_factor", &vec![true; table.actors.len()]);
    table.note("auth", "refresh", &vec![true; table.actors.len()]);
    table.note("auth", "switch", &vec![true; table.actors.len()]);

    // What nobody comes back from.
    tried! { table, "tenancy", "delete_account": |actor| tenancy.delete_account(actor, &password); }
    test.leave_jobs();

    insta::assert_snapshot!("commands_by_role", table.lines);
    let listed: BTreeSet<_> =
        NOT_ASKED.iter().map(|(service, method)| ((*service).to_owned(), (*method).to_owned())).collect();
    let missing: Vec<_> =
        asking().into_iter().filter(|it| !table.seen.contains(it) && !listed.contains(it)).collect();
    assert!(missing.is_empty(), "say who may ask for these: {missing:?}");
}

/// Every method of a service that is told who asks.
fn asking() -> BTreeSet<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = BTreeSet::new();
    for (service, paths) in SERVICES {
        let text: String = paths.iter().map(|path| sources(&root.join(path))).collect();
        for method in text.split("\n    pub async fn ").skip(1) {
            let head = method.split('{').next().unwrap();
            if head.contains("actor: &Actor") {
                found.insert((service.to_owned(), method.split(['(', '<']).next().unwrap().to_owned()));
            }
        }
    }
    assert!(found.len() > 30, "{found:?}");
    found
}

#[test]
fn no_role_of_a_tenant_holds_anything_of_the_platform_and_none_holds_a_wildcard() {
    for role in Role::ALL {
        for permission in role.permissions().iter() {
            assert!(!permission.as_str().contains('*'), "{role}: {permission}");
            assert!(!permission.as_str().starts_with("platform:"), "{role}: {permission}");
        }
    }
    for universal in ["*", "*:*", "*:read"] {
        assert!(Permission::parse(universal).is_err(), "{universal}");
    }
}
