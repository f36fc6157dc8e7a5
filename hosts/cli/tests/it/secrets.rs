//! `saas secrets`.

use saas_core::{Reach, Storage};
use saas_sql::{SqlOptions, SqlStorage};
use serde_json::json;

use crate::harness::{Place, on_both_engines};

on_both_engines! {
    data_keys_are_added_and_what_is_stored_is_encrypted_again,
}

fn data_keys_are_added_and_what_is_stored_is_encrypted_again(place: &Place) {
    place.register("ada@example.com");
    let done = place.run(&["secrets", "reencrypt"]);
    assert_eq!(done.code, 0, "{done}");
    insta::assert_snapshot!(done.stdout, @r"
    COLUMN                                 ENCRYPTED  UNOPENED
    saas_sessions.address_envelope         0          0
    saas_sessions.place_envelope           0          0
    saas_one_time_tokens.address_envelope  0          0
    saas_second_factors.seed_envelope      0          0
    ");
    // The console has no address: what an earlier release left is all that there is to encrypt.
    let before = leave_a_readable_address(place);
    assert_eq!(before, 1);
    let done = place.run(&["secrets", "reencrypt", "--output", "json"]);
    assert_eq!((done.code, done.json()["encrypted"].clone()), (0, json!(before)), "{done}");
    assert_eq!(done.json()["unopened"], 0);
    assert_eq!(done.json()["columns"][0]["column"], "saas_sessions.address_envelope");
    assert_eq!(place.run(&["secrets", "reencrypt", "--output", "json"]).json()["encrypted"], 0);

    let rotated = place.run(&["secrets", "rotate"]);
    assert_eq!(rotated.code, 0, "{rotated}");
    assert!(rotated.stdout.starts_with("KEY       ACTIVE FROM\n"), "{rotated}");
    assert_eq!(rotated.stderr, "once it is active, run: saas secrets reencrypt\n");
    // Not before every server knows it.
    for (command, code) in [("rotate", "data_key_rotation_not_due"), ("reencrypt", "data_key_not_active")] {
        let early = place.run(&["secrets", command, "--output", "json"]);
        assert_eq!((early.code, early.error()["code"].clone()), (3, json!(code)), "{early}");
    }
}

/// Changes every session as an earlier release wrote it, and counts them.
fn leave_a_readable_address(place: &Place) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let storage = SqlStorage::open(&SqlOptions::new(place.url()).unwrap()).await.unwrap();
        let mut tx = storage.begin(Reach::Platform("a test")).await.unwrap();
        let sql = "UPDATE saas_sessions SET ip_masked = '203.0.113.*', address_envelope = NULL";
        let rows = saas_sql::execute!(tx.conn(), sql).unwrap();
        tx.commit().await.unwrap();
        storage.close().await;
        rows
    })
}
