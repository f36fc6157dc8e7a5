//! `saas users`, on both engines.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Place, on_both_engines, snapshots};

on_both_engines! {
    a_user_is_created_listed_disabled_and_enabled,
    the_list_comes_in_pages_and_misses_nobody,
    a_second_factor_that_is_not_there_is_shown_as_none_and_not_removed,
    a_user_who_is_locked_is_shown_so_and_unlocked,
}

fn create<'a>(email: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["users", "create", email, "--tenant-name", "Analytical Engines", "--password-stdin"], more].concat()
}

fn a_user_is_created_listed_disabled_and_enabled(place: &Place) {
    assert_eq!(place.run(&["migrate"]).code, 0);
    let stdin = format!("{PASSWORD}\n");
    let created = place.run_on(&create("Ada@Example.com", &["--display-name", "Ada"]), &stdin);
    assert_eq!(created.code, 0, "{created}");
    snapshots().bind(|| insta::assert_snapshot!("created", created.stdout));
    let created = place.run_on(&create("bob@example.com", &["--output", "json"]), &stdin);
    snapshots().bind(|| insta::assert_snapshot!("created_json", created.stdout));

    let taken = place.run_on(&create("ada@example.com", &["--output", "json"]), &stdin);
    assert_eq!((taken.code, taken.stdout.as_str()), (1, ""), "{taken}");
    assert_eq!(taken.error()["code"], "email_taken");
    let weak = place.run_on(&create("eve@example.com", &[]), "hunter2\n");
    assert_eq!((weak.code, weak.stdout.as_str()), (2, ""), "{weak}");
    assert!(!weak.stderr.contains("hunter2"), "{weak}");
    insta::assert_snapshot!("weak_password", weak.stderr);

    let listed = place.run(&["users", "list"]);
    snapshots().bind(|| insta::assert_snapshot!("listed", listed.stdout));
    let disabled = place.run(&["users", "disable", "ada@example.com"]);
    assert_eq!(disabled.code, 0, "{disabled}");
    snapshots().bind(|| insta::assert_snapshot!("disabled", disabled.stdout));
    let id = place.run(&["users", "list", "--output", "json"]).json()["users"][0]["id"].clone();
    let enabled = place.run(&["users", "enable", id.as_str().unwrap(), "--output", "json"]);
    assert_eq!(enabled.json()["user"]["status"], "active");

    let reset = place.run(&["users", "reset-password", "ada@example.com", "--output", "json"]);
    assert_eq!((reset.code, &reset.json()["mailed"]), (0, &json!(true)), "{reset}");
    let exported = place.run(&["users", "export", "bob@example.com"]);
    assert_eq!(exported.code, 0, "{exported}");
    let document: Value = serde_json::from_str(&exported.stdout).unwrap();
    assert_eq!((&document["version"], &document["user"]["email"]), (&json!(1), &json!("bob@example.com")));
    assert!(!exported.stdout.contains("ada@example.com"), "{exported}");
    let deleted = place.run(&["users", "delete", "bob@example.com"]);
    assert_eq!(deleted.code, 0, "{deleted}");
    assert!(deleted.stdout.contains("deleted"), "{deleted}");
    let gone = place.run(&["users", "delete", "bob@example.com", "--output", "json"]);
    assert_eq!((gone.code, gone.error()["code"].clone()), (1, json!("user_not_found")), "{gone}");

    let nobody = "01890a5d-ac96-774b-bcce-b302099a8057";
    for name in ["eve@example.com", nobody] {
        let done = place.run(&["users", "disable", name, "--output", "json"]);
        assert_eq!((done.code, done.error()["code"].clone()), (1, json!("user_not_found")), "{done}");
    }
}

fn the_list_comes_in_pages_and_misses_nobody(place: &Place) {
    assert_eq!(place.run(&["migrate"]).code, 0);
    let emails: Vec<String> = (0..5).map(|number| format!("user{number}@example.com")).collect();
    for email in &emails {
        place.register(email);
    }
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut arguments = vec!["users", "list", "--limit", "2", "--output", "json"];
        arguments.extend(after.iter().flat_map(|cursor| ["--after", cursor.as_str()]));
        let page = place.run(&arguments).json();
        found.extend(page["users"].as_array().unwrap().iter().map(|user| user["email"].clone()));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(found, emails.iter().map(|email| Value::from(email.as_str())).collect::<Vec<_>>());
    let words = place.run(&["users", "list", "--limit", "2"]);
    assert!(words.stderr.starts_with("there are more: saas users list --after "), "{words}");
    // One of 64 begins with a hyphen.
    for cursor in ["forged", "-forged"] {
        let forged = place.run(&["users", "list", "--after", cursor, "--output", "json"]);
        assert_eq!((forged.code, forged.error()["code"].clone()), (2, json!("invalid_cursor")), "{forged}");
    }
}

fn a_second_factor_that_is_not_there_is_shown_as_none_and_not_removed(place: &Place) {
    assert_eq!(place.run(&["migrate"]).code, 0);
    place.register("ada@example.com");
    let shown = place.run(&["users", "second-factor", "ada@example.com", "show", "--output", "json"]);
    assert_eq!(shown.code, 0, "{shown}");
    let view = shown.json();
    assert_eq!((&view["enrolled_at"], &view["recovery_codes_left"]), (&Value::Null, &json!(0)));
    let removed = place.run(&["users", "second-factor", "ada@example.com", "remove", "--output", "json"]);
    assert_eq!(
        (removed.code, removed.error()["code"].clone()),
        (1, json!("second_factor_not_found")),
        "{removed}"
    );
    let nobody = place.run(&["users", "second-factor", "eve@example.com", "remove", "--output", "json"]);
    assert_eq!((nobody.code, nobody.error()["code"].clone()), (1, json!("user_not_found")), "{nobody}");
}

fn a_user_who_is_locked_is_shown_so_and_unlocked(place: &Place) {
    assert_eq!(place.run(&["migrate"]).code, 0);
    let stdin = format!("{PASSWORD}\n");
    assert_eq!(place.run_on(&create("ada@example.com", &["--display-name", "Ada"]), &stdin).code, 0);
    let shown = place.run(&["users", "show", "ada@example.com"]);
    snapshots().bind(|| insta::assert_snapshot!("shown", shown.stdout));
    for _ in 0..5 {
        let wrong = place
            .run_on(&["chat", "--email", "ada@example.com", "--password-stdin"], "not the password\nHi\n");
        assert_eq!(wrong.code, 4, "{wrong}");
    }
    let shown = place.run(&["users", "show", "ada@example.com"]);
    snapshots().bind(|| insta::assert_snapshot!("shown_locked", shown.stdout));
    let shown = place.run(&["users", "show", "ada@example.com", "--output", "json"]).json();
    let guesses = &shown["guesses"][0];
    assert_eq!(
        (&guesses["kind"], &guesses["failures"], &guesses["locked"]),
        (&json!("account"), &json!(5), &json!(true))
    );
    assert!(guesses["locked_until"].is_string(), "{shown}");
    let id = shown["user"]["id"].as_str().unwrap();
    let right = place
        .run_on(&["chat", "--email", "ada@example.com", "--password-stdin"], &format!("{PASSWORD}\nHi\n"));
    assert_eq!(right.code, 4, "{right}");

    let unlocked = place.run(&["users", "unlock", id]);
    assert_eq!(unlocked.code, 0, "{unlocked}");
    snapshots().bind(|| insta::assert_snapshot!("unlocked", unlocked.stdout));
    let again = place.run(&["users", "unlock", "ada@example.com", "--output", "json"]).json();
    assert_eq!((&again["unlocked"], &again["user"]["email"]), (&json!(false), &json!("ada@example.com")));
    let right = place
        .run_on(&["chat", "--email", "ada@example.com", "--password-stdin"], &format!("{PASSWORD}\nHi\n"));
    assert_eq!(right.code, 0, "{right}");
    for command in ["show", "unlock"] {
        let done = place.run(&["users", command, "eve@example.com", "--output", "json"]);
        assert_eq!((done.code, done.error()["code"].clone()), (1, json!("user_not_found")), "{done}");
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn a_password_is_asked_for_on_a_terminal_alone() {
    let place = Place::empty();
    let arguments = ["users", "create", "ada@example.com", "--tenant-name", "X Y"];
    let done = place.run_on(&arguments, &format!("{PASSWORD}\n"));
    assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{done}");
    assert!(done.stderr.contains("saas: a password is needed"), "{done}");
    let done = place.run_on(&[&arguments[..], &["--password-stdin"]].concat(), "\n");
    assert_eq!(done.code, 2, "{done}");
    assert!(done.stderr.contains("saas: the password is empty"), "{done}");
}
