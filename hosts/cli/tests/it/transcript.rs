//! Every command as an operator and as a program sees it: its words, its JSON, its errors and its exit codes, one after the other.
#![cfg(feature = "sqlite")]

use std::fmt::Write;

use crate::harness::{Done, PASSWORD, Place, snapshots};

/// What was typed, and what came of it.
struct Transcript {
    place: Place,
    text: String,
}

impl Transcript {
    fn new() -> Self {
        Self { place: Place::empty(), text: String::new() }
    }

    fn run(&mut self, arguments: &[&str]) {
        self.with(arguments, &[], "");
    }

    fn with(&mut self, arguments: &[&str], environment: &[(&str, &str)], stdin: &str) {
        let done = self.place.run_with_input(arguments, environment, stdin);
        self.note(arguments, environment, &done);
    }

    fn note(&mut self, arguments: &[&str], environment: &[(&str, &str)], done: &Done) {
        let set = environment.iter().map(|(name, value)| format!("{name}={value}"));
        let quoted = |argument: &&str| {
            if argument.contains(' ') { format!("'{argument}'") } else { (*argument).to_owned() }
        };
        let typed = set.chain(["saas".to_owned()]).chain(arguments.iter().map(quoted));
        let typed = typed.collect::<Vec<_>>().join(" ");
        write!(self.text, "$ {typed}\n{}", done.stdout).unwrap();
        done.stderr.lines().for_each(|line| writeln!(self.text, "! {line}").unwrap());
        writeln!(self.text, "exit code {}\n", done.code).unwrap();
    }

    fn assert(&self, name: &str) {
        let long = self
            .text
            .lines()
            .find(|line| !line.contains('{') && !line.contains('"') && line.chars().count() > 120);
        assert_eq!(long, None);
        snapshots().bind(|| insta::assert_snapshot!(name, self.text));
    }
}

const JSON: [&str; 2] = ["--output", "json"];

#[test]
fn what_commands_say_to_programs() {
    let mut all = Transcript::new();
    let stdin = format!("{PASSWORD}\n");
    let create =
        ["users", "create", "ada@example.com", "--tenant-name", "Analytical Engines", "--password-stdin"];
    all.run(&["version", "--output", "json"]);
    all.run(&["config", "check", "--output", "json"]);
    all.run(&["migrate", "--plan", "--output", "json"]);
    all.run(&["migrate", "--verify", "--output", "json"]);
    all.run(&["migrate", "--output", "json"]);
    all.run(&["migrate", "--verify", "--output", "json"]);
    all.with(&[&create[..], &JSON].concat(), &[], &stdin);
    all.run(&["users", "list", "--output", "json"]);
    all.run(&["users", "disable", "ada@example.com", "--output", "json"]);
    all.run(&["users", "enable", "ada@example.com", "--output", "json"]);
    all.run(&["keys", "show", "--output", "json"]);
    all.run(&["keys", "rotate", "--output", "json"]);
    all.run(&["keys", "rotate", "--emergency", "--output", "json"]);
    all.run(&["mail", "preview", "--output", "json"]);
    all.run(&["mail", "preview", "test", "--output", "json"]);
    all.run(&["mail", "test", "--to", "ada@example.com", "--output", "json"]);
    all.run(&["secrets", "reencrypt", "--output", "json"]);
    all.run(&["secrets", "rotate", "--output", "json"]);
    let talk = [
        "chat",
        "--email",
        "ada@example.com",
        "--conversation",
        "homework",
        "--password-stdin",
        "--output",
        "json",
    ];
    all.with(&talk, &[], &format!("{PASSWORD}\nWhat is 6 * 7?\n"));
    all.assert("json");
}

#[test]
fn what_commands_say_when_they_fail() {
    let stdin = format!("{PASSWORD}\n");
    let nobody = "01890a5d-ac96-774b-bcce-b302099a8057";
    let away =
        [("DATABASE_URL", "postgres://saas:hunter2@127.0.0.1:1/saas"), ("DATABASE_WRITE_TIMEOUT", "1")];
    let by_hand = [("AUTO_RUN_MIGRATIONS", "false")];
    let create =
        ["users", "create", "ada@example.com", "--tenant-name", "Analytical Engines", "--password-stdin"];
    let chat = ["chat", "--email", "ada@example.com", "--password-stdin"];
    for (name, more) in [("errors", &[][..]), ("errors_as_json", &JSON[..])] {
        let mut all = Transcript::new();
        let with = |command: &[&'static str]| [command, more].concat();
        all.run(&with(&["serve", "--set", "HOST=nowhere"]));
        all.with(&with(&["serve"]), &away, "");
        all.with(&with(&["migrate"]), &away, "");
        all.with(&with(&["migrate", "--verify"]), &by_hand, "");
        all.with(&with(&["users", "list"]), &by_hand, "");
        all.with(&with(&["keys", "show"]), &by_hand, "");
        all.run(&with(&["config", "show", "--set", "ROOT_KEY=hunter2"]));
        all.with(&with(&["config", "show"]), &[("PORT", "no port")], "");
        all.with(&with(&["config", "check"]), &[("PORT", "no port")], "");
        all.with(&with(&create), &[], "too short\n");
        all.with(&with(&create), &[], &stdin);
        all.with(&with(&create), &[], &stdin);
        all.run(&with(&create[..5]));
        all.run(&with(&["users", "list", "--after", "forged"]));
        all.run(&with(&["users", "disable", nobody]));
        all.run(&with(&["users", "enable", "eve@example.com"]));
        all.run(&with(&["keys", "rotate"]));
        all.run(&with(&["keys", "rotate"]));
        all.run(&with(&["secrets", "rotate"]));
        all.run(&with(&["secrets", "rotate"]));
        all.run(&with(&["secrets", "reencrypt"]));
        all.with(&with(&chat), &[], "another password altogether\n");
        all.with(&with(&[&chat[..], &["--server", "http://127.0.0.1:1"]].concat()), &[], &stdin);
        all.run(&with(&["mail", "preview", "postcard"]));
        all.run(&with(&["mail", "preview", "test", "--file", "/dev/null/mail"]));
        all.run(&with(&["mail", "test", "--to", "ada"]));
        all.run(&with(&["man", "--dir", "/dev/null/pages"]));
        all.run(&with(&["completions", "tcsh"]));
        all.run(&with(&["openapi", "--plan"]));
        all.run(&with(&["version", "--env-file"]));
        all.assert(name);
    }
}
