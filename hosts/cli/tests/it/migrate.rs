//! `saas migrate`, on both engines.

use crate::harness::{Place, on_both_engines, snapshots};

on_both_engines! {
    what_is_pending_is_planned_verified_applied_and_then_done,
}

fn what_is_pending_is_planned_verified_applied_and_then_done(place: &Place) {
    let planned = place.run(&["migrate", "--plan"]);
    assert_eq!(planned.code, 0, "{planned}");
    assert!(planned.stdout.starts_with("core/1\n"), "{planned}");

    let verified = place.run(&["migrate", "--verify", "--output", "json"]);
    assert_eq!(verified.code, 3, "{verified}");
    let pending = verified.json()["pending"].clone();
    assert_eq!(pending.as_array().unwrap().len(), planned.stdout.lines().count());
    assert_eq!(verified.error()["code"], "migrations_pending");

    let applied = place.run(&["migrate", "--output", "json"]);
    assert_eq!(applied.code, 0, "{applied}");
    assert_eq!(applied.json()["applied"], pending);
    let mut snapshots = snapshots();
    snapshots.add_filter(r"\d+ migrations", "[some] migrations");
    snapshots.bind(|| insta::assert_snapshot!("applied", applied.stderr));

    for arguments in [&["migrate", "--verify"][..], &["migrate", "--plan"]] {
        let current = place.run(arguments);
        assert_eq!((current.code, current.stdout.as_str()), (0, ""), "{current}");
        assert_eq!(current.stderr, "nothing is pending\n");
    }
    let again = place.run(&["migrate"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, ""), "{again}");
    snapshots.bind(|| insta::assert_snapshot!("again", again.stderr));
}

#[test]
fn a_database_that_is_away_exits_5_and_shows_no_password() {
    let place = Place::empty();
    let away =
        [("DATABASE_URL", "postgres://saas:hunter2@127.0.0.1:1/saas"), ("DATABASE_WRITE_TIMEOUT", "1")];
    for arguments in [&["migrate"][..], &["migrate", "--verify"], &["users", "list"], &["keys", "show"]] {
        let done = place.run_with(arguments, &away);
        assert_eq!((done.code, done.stdout.as_str()), (5, ""), "{arguments:?}: {done}");
        assert!(!done.stderr.contains("hunter2"), "{done}");
    }
    let done = place.run_with(&["migrate", "--output", "json"], &away);
    insta::assert_snapshot!(done.error());
}

#[cfg(feature = "sqlite")]
#[test]
fn what_may_not_migrate_by_itself_exits_3_and_says_what_to_run() {
    let place = Place::empty();
    let by_hand = [("AUTO_RUN_MIGRATIONS", "false")];
    let done = place.run_with(&["users", "list"], &by_hand);
    assert_eq!((done.code, done.stdout.as_str()), (3, ""), "{done}");
    assert!(done.stderr.starts_with("saas: the database lacks "), "{done}");
    assert!(done.stderr.ends_with("\n  run: saas migrate\n"), "{done}");
    assert_eq!(place.run_with(&["migrate"], &by_hand).code, 0);
    assert_eq!(place.run_with(&["users", "list"], &by_hand).code, 0);
}
