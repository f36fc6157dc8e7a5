//! `saas keys`.
#![cfg(feature = "sqlite")]

use serde_json::json;

use crate::harness::{Place, snapshots};

#[test]
fn keys_are_shown_rotated_in_steps_and_replaced_in_an_emergency() {
    let place = Place::empty();
    let first = place.run(&["keys", "show", "--output", "json"]);
    assert_eq!(first.code, 0, "{first}");
    snapshots().bind(|| insta::assert_snapshot!("keys", first.stdout));
    let table = place.run(&["keys", "show"]);
    assert_eq!((table.code, table.stderr.as_str()), (0, ""), "{table}");
    let kid = first.json()["keys"][0]["kid"].as_str().unwrap().to_owned();
    assert!(table.stdout.contains(&kid), "{table}");

    let published = place.run(&["keys", "rotate"]);
    assert_eq!(published.code, 0, "{published}");
    snapshots().bind(|| insta::assert_snapshot!("published", published));
    // The second step waits until every verifier has the new key.
    let early = place.run(&["keys", "rotate", "--output", "json"]);
    assert_eq!((early.code, early.error()["code"].clone()), (3, json!("key_rotation_not_due")), "{early}");

    let emergency = place.run(&["keys", "rotate", "--emergency", "--output", "json"]);
    assert_eq!(emergency.code, 0, "{emergency}");
    let keys = emergency.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1, "{emergency}");
    assert_ne!(keys[0]["kid"], json!(kid));
}
