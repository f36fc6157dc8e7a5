//! The help of every command.

use crate::harness::Place;

const COMMANDS: [&[&str]; 34] = [
    &[],
    &["serve"],
    &["migrate"],
    &["config"],
    &["config", "schema"],
    &["config", "show"],
    &["config", "check"],
    &["users"],
    &["users", "create"],
    &["users", "list"],
    &["users", "show"],
    &["users", "unlock"],
    &["users", "disable"],
    &["users", "enable"],
    &["keys"],
    &["keys", "show"],
    &["keys", "rotate"],
    &["secrets"],
    &["secrets", "rotate"],
    &["secrets", "reencrypt"],
    &["jobs"],
    &["jobs", "list"],
    &["jobs", "show"],
    &["jobs", "retry"],
    &["jobs", "cancel"],
    &["jobs", "drain"],
    &["mail"],
    &["mail", "preview"],
    &["mail", "test"],
    &["work"],
    &["chat"],
    &["openapi"],
    &["version"],
    &["man"],
];

#[test]
fn every_command_has_its_help_and_no_line_is_longer_than_the_terminal() {
    let place = Place::empty();
    for command in COMMANDS.into_iter().chain([["completions"].as_slice()]) {
        // A wrong setting does not matter: help reads none.
        let done = place.run_with(&[command, &["--help"]].concat(), &[("PORT", "no port")]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{command:?}: {done}");
        let long = done.stdout.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{command:?}");
        let name = ["saas"].iter().chain(command).copied().collect::<Vec<_>>().join("_");
        insta::assert_snapshot!(name, done.stdout);
    }
}

#[test]
fn without_a_command_it_shows_its_help_and_exits_2() {
    let done = Place::empty().run(&[]);
    assert_eq!((done.code, done.stdout.as_str()), (2, ""));
    assert!(done.stderr.contains("Usage: saas"), "{done}");
}

#[test]
fn what_is_misspelt_exits_2_and_names_the_right_place_to_look() {
    let place = Place::empty();
    for arguments in [
        &["migrat"][..],
        &["migrate", "--plan", "--verify"],
        &["users", "list", "--limit", "101"],
        &["users", "disable", "nobody"],
        &["chat", "--email", "ada@example.com", "--server", "ftp://x"],
        &["chat", "--email", "ada@example.com", "--server", "http://u:p@x"],
    ] {
        let done = place.run(arguments);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{arguments:?}: {done}");
        assert!(done.stderr.contains("try '--help'"), "{arguments:?}: {done}");
    }
}
