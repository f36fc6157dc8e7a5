//! `saas config`.

use crate::harness::{Place, snapshots};

#[test]
fn the_schema_lists_every_setting_whatever_is_set() {
    let place = Place::empty();
    let done = place.run_with(&["config", "schema"], &[("ENVIRONMENT", "production"), ("PORT", "no port")]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(done.stdout.lines().find(|line| line.chars().count() > 80), None);
    let json = place.run(&["config", "schema", "--output", "json"]).json();
    let settings = json["settings"].as_array().unwrap();
    assert_eq!(settings.len(), saas_kit::settings::Settings::CATALOGUE.len());
    for setting in settings {
        let name = setting["name"].as_str().unwrap();
        assert!(done.stdout.contains(&format!("\n  {name}")), "{name} is missing");
    }
    let named = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
    let shown = serde_json::to_string_pretty(&[named("SAAS_PORT"), named("SAAS_ROOT_KEY")]).unwrap();
    insta::assert_snapshot!("schema_of_two_settings", shown);
    let begin = done.stdout.find("  SAAS_DATABASE_URL").unwrap();
    let end = begin + done.stdout[begin..].find("\n\n").unwrap();
    insta::assert_snapshot!("schema_of_one_setting_for_people", &done.stdout[begin..end]);
}

#[test]
fn what_is_set_is_shown_with_its_origin_and_secrets_are_masked() {
    let place = Place::empty();
    std::fs::write(place.path().join(".env"), "PORT=1\nHOST=0.0.0.0\n").unwrap();
    std::fs::write(place.path().join("a.env"), "PORT=2\n").unwrap();
    std::fs::write(place.path().join("b.env"), "PORT=3\nOPENAI_API_KEY=sk-hunter2\n").unwrap();
    let secret = [("DATABASE_URL", "postgres://saas:hunter2@db/saas"), ("SAAS_WEATHER", "hunter2")];
    let files = ["--env-file", "a.env", "--env-file", "b.env", "--set", "APP_NAME=Loom"];
    let shown = place.run_with(&[&["config", "show"], &files[..]].concat(), &secret);
    assert_eq!(shown.code, 0, "{shown}");
    assert!(!format!("{shown}").contains("hunter2"), "{shown}");
    let line = |name: &str| shown.stdout.lines().find(|line| line.starts_with(name)).unwrap();
    let lines =
        ["SETTING", "SAAS_APP_NAME", "SAAS_HOST", "SAAS_PORT", "SAAS_DATABASE_URL", "SAAS_OPENAI_API_KEY"]
            .map(line);
    insta::assert_snapshot!(lines.join("\n"));
    insta::assert_snapshot!(shown.stderr);
    let json = place.run_with(&[&["config", "show", "--output", "json"], &files[..]].concat(), &secret);
    assert!(!format!("{json}").contains("hunter2"), "{json}");
    let json = json.json();
    assert_eq!(json["environment"], "development");
    let key =
        json["settings"].as_array().unwrap().iter().find(|it| it["name"] == "SAAS_OPENAI_API_KEY").unwrap();
    insta::assert_snapshot!(key);
}

#[test]
fn settings_that_are_fit_pass_the_check() {
    let place = Place::empty();
    let done = place.run(&["config", "check"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, ""));
    assert_eq!(done.stderr, "the settings are fit for development\n");
    let json = place.run(&["config", "check", "--output", "json"]).json();
    insta::assert_snapshot!(json);
}

#[test]
fn a_production_with_nothing_set_is_told_everything_that_is_missing() {
    let place = Place::empty();
    let mut command = place.command(&["config", "check"]);
    command.env_remove("PASSWORD_HASH_MEMORY_KIB").env_remove("PASSWORD_HASH_ITERATIONS");
    let output = command.env("ENVIRONMENT", "production").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_problem_comes_at_once_and_none_repeats_a_value() {
    let place = Place::empty();
    let wrong = [("PORT", "hunter2"), ("DATABASE_URL", "hunter2"), ("SAAS_PROT", "1"), ("LOG_LEVEL", "loud")];
    let done = place.run_with(&["config", "check", "--output", "json", "--env-file", "missing.env"], &wrong);
    assert_eq!(done.code, 1, "{done}");
    assert!(!format!("{done}").contains("hunter2"), "{done}");
    insta::assert_snapshot!("problems_as_json", serde_json::to_string_pretty(&done.json()).unwrap());
    insta::assert_snapshot!(done.error());
    // Any other command tells the same, as words.
    let refused = place.run_with(&["migrate"], &wrong);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(refused.stderr);
}

#[test]
fn a_flag_takes_no_secret_and_repeats_nothing() {
    let place = Place::empty();
    for flag in ["ROOT_KEY=hunter2", "SAAS_DATABASE_URL=hunter2", "hunter2", "HUNTER=hunter2"] {
        let done = place.run(&["config", "show", "--set", flag]);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{flag}");
        assert!(!done.stderr.contains("hunter2"), "{done}");
    }
    let done = place.run(&["config", "show", "--set", "ROOT_KEY=hunter2"]);
    snapshots().bind(|| insta::assert_snapshot!(done.stderr));
}
