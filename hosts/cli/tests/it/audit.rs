//! `saas audit` on both engines, and the verifier that its page shows.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use saas_core::{Reach, SecretStore, Storage, entropy::SystemEntropy};
use saas_kit::SystemClock;
use saas_sql::{RootKey, SealedSecrets, SqlOptions, SqlStorage, execute, fetch_one, sqlx::types::Uuid};
use serde_json::{Value, json};

use crate::harness::{Done, Place, on_both_engines, snapshots};

on_both_engines! {
    rows_are_listed_by_what_is_asked_for,
    what_was_changed_removed_or_put_in_is_named_and_the_exit_code_says_so,
    the_pages_verifier_proves_an_export_and_notices_what_was_changed,
}

/// A root key, for what reads the secrets beside the program: `0707…` in base64.
const ROOT_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

fn run(place: &Place, arguments: &[&str]) -> Done {
    place.run_with(arguments, &[("SAAS_ROOT_KEY", ROOT_KEY)])
}

fn create(place: &Place, email: &str) -> Value {
    let arguments =
        ["users", "create", email, "--tenant-name", "Test Tenant", "--password-stdin", "--output", "json"];
    let password = format!("{}\n", crate::harness::PASSWORD);
    let done = place.run_with_input(&arguments, &[("SAAS_ROOT_KEY", ROOT_KEY)], &password);
    assert_eq!(done.code, 0, "{done}");
    done.json()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn open(place: &Place) -> SqlStorage {
    SqlStorage::open(&SqlOptions::new(place.url()).unwrap()).await.unwrap()
}

/// Seals what is recorded, as a server does within a second.
fn seal(place: &Place) {
    block_on(async {
        let storage = open(place).await;
        let (clock, entropy) = (Arc::new(SystemClock::default()), Arc::new(SystemEntropy));
        let secrets = SealedSecrets::new(storage.clone(), root_key(), clock.clone(), entropy.clone());
        let log = Arc::new(saas_sql::SqlAudit);
        let audit =
            saas_core::Audit::open(Arc::new(storage.clone()), log, &secrets, clock, entropy).await.unwrap();
        // Twice: the first round records that the chain begins.
        audit.seal().await.unwrap();
        audit.seal().await.unwrap();
        storage.close().await;
    });
}

fn root_key() -> RootKey {
    RootKey::new(&[7; 32]).unwrap()
}

/// The audit log's keys, as the product keeps them.
fn keys(place: &Place) -> Vec<u8> {
    block_on(async {
        let storage = open(place).await;
        let secrets = SealedSecrets::new(
            storage.clone(),
            root_key(),
            Arc::new(SystemClock::default()),
            Arc::new(SystemEntropy),
        );
        let keys = secrets.get("audit.keys").await.unwrap().unwrap().value.expose().clone();
        storage.close().await;
        keys
    })
}

/// One statement that is run with the tenant.
fn tamper(place: &Place, tenant: &Value, statement: &'static str) {
    block_on(async {
        let storage = open(place).await;
        let mut tx = storage.begin(Reach::Platform("test")).await.unwrap();
        let tenant: Uuid = tenant.as_str().unwrap().parse().unwrap();
        assert_ne!(execute!(tx.conn(), statement, tenant).unwrap(), 0);
        tx.commit().await.unwrap();
        storage.close().await;
    });
}

fn rows_are_listed_by_what_is_asked_for(place: &Place) {
    let created = create(place, "ada@example.com");
    let (tenant, user) = (created["tenant"]["id"].as_str().unwrap(), created["user"]["id"].as_str().unwrap());
    assert_eq!(run(place, &["users", "disable", "ada@example.com"]).code, 0);
    let list = |more: &[&str]| {
        let done = run(place, &[&["audit", "list", "--output", "json"], more].concat());
        assert_eq!(done.code, 0, "{done}");
        done.json()
    };
    let actions = |listed: &Value| -> Vec<String> {
        listed["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["action"].as_str().unwrap().to_owned())
            .collect()
    };
    let of_tenant = list(&["--tenant", tenant]);
    let mut found = actions(&of_tenant);
    found.sort();
    // The session that registering opens is ended by the command.
    let expected =
        ["auth.session.ended", "auth.session.opened", "tenancy.member.added", "tenancy.tenant.created"];
    assert_eq!(found, expected);
    let subject = format!("user:{user}");
    let of_user = list(&["--platform", "--subject", &subject]);
    assert_eq!(actions(&of_user), ["auth.user.disabled", "auth.user.created"]);
    assert_eq!(
        actions(&list(&["--action", "auth.user.disabled", "--actor", "system:cli"])),
        ["auth.user.disabled"]
    );
    assert_eq!(actions(&list(&["--until", "2020-01-01T00:00:00Z"])), [""; 0]);
    let shown = run(place, &["audit", "list", "--platform", "--subject", &subject]);
    snapshots().bind(|| insta::assert_snapshot!("audit_listed", shown.stdout));

    let page = list(&["--tenant", tenant, "--limit", "3"]);
    let rest = list(&["--tenant", tenant, "--limit", "3", "--after", page["next"].as_str().unwrap()]);
    assert_eq!((rest["rows"][0].clone(), rest["next"].clone()), (of_tenant["rows"][3].clone(), json!(null)));
    let page = run(place, &["audit", "list", "--limit", "1"]);
    assert!(page.stderr.starts_with("there are more: saas audit list --after "), "{page}");
    for wrong in [
        ["--tenant", "ada"],
        ["--actor", "ada@example.com"],
        ["--subject", "ada"],
        ["--action", "Everything"],
        ["--from", "yesterday"],
        ["--platform", "--tenant=01890a5d-ac96-774b-bcce-b302099a8057"],
        ["--platform", "--passing"],
    ] {
        let refused = run(place, &[&["audit", "list"][..], &wrong].concat());
        assert_eq!(refused.code, 2, "{refused}");
    }
}

fn what_was_changed_removed_or_put_in_is_named_and_the_exit_code_says_so(place: &Place) {
    let tenant = create(place, "ada@example.com")["tenant"]["id"].clone();
    let tail = run(place, &["audit", "verify"]);
    assert_eq!(tail.code, 0, "{tail}");
    let unsealed =
        tail.stdout.lines().last().unwrap().strip_prefix("not sealed yet").unwrap().trim().to_owned();
    assert!(unsealed.parse::<u64>().unwrap() > 10, "{tail}");
    seal(place);
    let sound = run(place, &["audit", "verify"]);
    assert_eq!((sound.code, sound.stderr.as_str()), (0, ""), "{sound}");
    let names: Vec<&str> =
        sound.stdout.lines().map(|line| line.trim_end_matches(|c: char| c.is_ascii_digit()).trim()).collect();
    assert_eq!(names, ["chains", "sealed rows", "purged before", "not sealed yet"], "{sound}");
    assert!(sound.stdout.ends_with("not sealed yet  0\n"), "{sound}");

    tamper(place, &tenant, "UPDATE saas_audit SET outcome = 'failure' WHERE tenant_id = $1 AND position = 2");
    tamper(place, &tenant, "DELETE FROM saas_audit WHERE tenant_id = $1 AND position = 3");
    let broken = run(place, &["audit", "verify", "--tenant", tenant.as_str().unwrap()]);
    assert_eq!(broken.code, 1, "{broken}");
    snapshots()
        .bind(|| insta::assert_snapshot!("audit_broken", format!("{}{}", broken.stdout, broken.stderr)));
    let broken = run(place, &["audit", "verify", "--output", "json"]);
    assert_eq!((broken.code, broken.error()["code"].clone()), (1, json!("audit_broken")), "{broken}");
    let lines: Vec<Value> = broken.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [changed, missing, summed] = lines.as_slice() else { panic!("{broken}") };
    assert_eq!(
        (
            changed["finding"]["code"].clone(),
            changed["finding"]["position"].clone(),
            changed["finding"]["tenant_id"].clone()
        ),
        (json!("changed"), json!(2), tenant.clone())
    );
    let id = block_on(async {
        let storage = open(place).await;
        let mut conn = storage.read(Reach::Platform("test")).await.unwrap();
        let query = "SELECT id FROM saas_audit WHERE tenant_id = $1 AND position = 2";
        let tenant: Uuid = tenant.as_str().unwrap().parse().unwrap();
        let (id,) = fetch_one!(&mut conn, (Uuid,), query, tenant).unwrap();
        id.to_string()
    });
    assert_eq!(changed["finding"]["id"], json!(id));
    assert_eq!(missing["finding"]["code"], "missing");
    assert_eq!((summed["verified"]["findings"].clone(), summed["schema"].clone()), (json!(2), json!(1)));
    assert_eq!(run(place, &["audit", "verify", "--platform"]).code, 0, "another chain is sound");
}

/// The program of the page.
fn verifier() -> &'static str {
    const PAGE: &str = include_str!("../../../../docs/audit.md");
    let (_, rest) = PAGE.split_once("```python verify_audit.py\n").unwrap();
    rest.split_once("\n```").unwrap().0
}

/// Runs it on an export; whether it is content, and what it says.
fn judged(place: &Place, export: &str, keys: bool) -> (bool, String) {
    let python = std::env::var("SAAS_TEST_PYTHON").unwrap_or_else(|_| {
        panic!("SAAS_TEST_PYTHON is not set: run scripts/test, or scripts/with-services <command>")
    });
    let (program, file) = (place.path().join("verify_audit.py"), place.path().join("keys.json"));
    fs::write(&program, verifier()).unwrap();
    let mut command = Command::new(python);
    command.arg(program);
    if keys {
        fs::write(&file, self::keys(place)).unwrap();
        command.arg(file);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(export.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    (done.status.success(), String::from_utf8(done.stdout).unwrap())
}

fn the_pages_verifier_proves_an_export_and_notices_what_was_changed(place: &Place) {
    let tenant = create(place, "ada@example.com")["tenant"]["id"].clone();
    create(place, "bob@example.com");
    assert_eq!(run(place, &["users", "disable", "bob@example.com"]).code, 0);
    seal(place);
    let export = run(place, &["audit", "export"]);
    assert_eq!((export.code, export.stderr.as_str()), (0, ""), "{export}");
    let rows = export.stdout.lines().filter(|line| line.contains("\"row\"")).count();
    assert!(rows > 20 && export.stdout.lines().count() == rows + 3, "{export}");
    for with_keys in [false, true] {
        assert_eq!(judged(place, &export.stdout, with_keys), (true, format!("{rows} rows are sound\n")));
    }
    // Each text and number of each row, one after the other; what no hash is over would not be noticed.
    let changed = |change: &mut dyn FnMut(&mut Value)| {
        let mut lines: Vec<Value> =
            export.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line = lines
            .iter_mut()
            .find(|line| line["row"]["tenant_id"] == tenant && line["row"]["seal"]["position"] == 2);
        change(line.unwrap());
        lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
    };
    for field in [
        "version",
        "id",
        "at_us",
        "actor",
        "action",
        "subject",
        "outcome",
        "reason",
        "request_id",
        "key_id",
        "mac",
    ] {
        let export = changed(&mut |line| line["row"][field] = json!("another"));
        assert!(!judged(place, &export, false).0, "{field}");
    }
    for field in ["position", "previous_hash", "hash"] {
        let export = changed(&mut |line| line["row"]["seal"][field] = json!(7));
        assert!(!judged(place, &export, false).0, "{field}");
    }
    let export_with_other_proof = changed(&mut |line| line["row"]["seal"]["mac"] = json!("00"));
    assert!(judged(place, &export_with_other_proof, false).0, "the hash is not over the proof");
    let (content, said) = judged(place, &export_with_other_proof, true);
    assert!(!content && said.contains("not proved"), "{said}");
    let gone: Vec<&str> = export.stdout.lines().filter(|line| !line.contains("\"position\":2,")).collect();
    let gone = gone.join("\n");
    assert!(!judged(place, &gone, false).0);

    let one = run(place, &["audit", "export", "--tenant", tenant.as_str().unwrap()]);
    let line: Value = serde_json::from_str(one.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((line["head"]["tenant_id"].clone(), line["schema"].clone()), (tenant, json!(1)));
    // What verifiers of others read by.
    let row: Value = serde_json::from_str(one.stdout.lines().next().unwrap()).unwrap();
    insta::assert_snapshot!(shape(&row), @"row { action, actor, at, at_us, id, key_id, mac, outcome, reason, request_id, seal { hash, key_id, mac, position, previous_hash }, subject, tenant_id, version }, schema");
    insta::assert_snapshot!(shape(&line), @"head { count, hash, key_id, mac, purged_at_us, purged_count, purged_hash, tenant_id }, schema");
}

/// The names of an object's members, and of theirs.
fn shape(value: &Value) -> String {
    let Some(members) = value.as_object() else { return String::new() };
    let inner =
        |value| Some(shape(value)).filter(|inner| !inner.is_empty()).map(|inner| format!(" {{ {inner} }}"));
    let member = |(name, value)| format!("{name}{}", inner(value).unwrap_or_default());
    members.iter().map(member).collect::<Vec<_>>().join(", ")
}
