//! What an embedder's program says to the product through its environment.

use std::process::Command;

use saas_kit::Saas;

/// Set for the child alone; without it the child's test has nothing to do.
const CHILD: &str = "SAAS_TEST_FROM_ENV";

/// A process of its own, for the environment of this one cannot be changed.
#[test]
fn an_embedder_is_asked_for_prefixed_names_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "SAAS_APP_NAME=dotenv\n").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "from_env::child_reads_its_environment"])
        .current_dir(folder.path())
        .env_clear()
        .envs([(CHILD, "1"), ("SAAS_HOST", "::1")])
        .envs([
            ("PORT", "1"),
            ("HOST", "0.0.0.0"),
            ("DATABASE_URL", "no database of ours"),
            ("ENVIRONMENT", "production"),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn child_reads_its_environment() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let blueprint = Saas::from_env().unwrap().build().unwrap();
    let settings = blueprint.settings();
    assert_eq!(settings.host.to_string(), "::1");
    let others = settings.effective().filter(|effective| effective.setting.name != "HOST");
    for other in others {
        assert!(!other.origin.is_set(), "{} came from the {}", other.setting.name, other.origin);
    }
}
