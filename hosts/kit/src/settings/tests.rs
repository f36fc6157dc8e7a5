use saas_auth::{AuthConfig, keys::KeySet, token::AccessTokenRules};
use saas_core::Secret;

use super::{
    DatabaseEngine, MailTransport, NoEffect, Origin, Preset, Profile, SettingProblem, SettingValue, Settings,
    SettingsErrors, SignupAccessPolicy, Sources, inventory,
};

const KEY: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";

fn environment(variables: &[(&str, &str)]) -> Sources {
    Sources::empty().with_environment(variables.iter().copied())
}

fn refused(sources: &Sources) -> SettingsErrors {
    match Settings::load(sources) {
        Ok(settings) => panic!("should have been refused: {settings:?}"),
        Err(errors) => errors,
    }
}

fn subjects(errors: &SettingsErrors) -> Vec<&str> {
    errors.problems().iter().map(|problem| problem.subject.as_str()).collect()
}

#[test]
fn nothing_set_is_a_working_product() -> Result<(), SettingsErrors> {
    let settings = Settings::load(&Sources::empty())?;
    assert_eq!(settings.environment, Profile::Development);
    assert_eq!(settings.database_url.shown(), "sqlite:var/saas.db");
    assert_eq!(settings.issuer, settings.app_public_url);
    assert_eq!(settings.signup_access_policy, SignupAccessPolicy::Public);
    assert!(settings.auto_run_migrations() && settings.root_key.is_none() && settings.warnings().is_empty());
    assert!(settings.effective().all(|effective| !effective.origin.is_set()));
    assert_eq!(settings.effective().count(), Settings::CATALOGUE.len());
    Ok(())
}

#[test]
fn auth_alone_has_the_same_defaults() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(&Sources::empty())?;
    let lifetime = settings.access_token_expire.duration();
    let alone = AuthConfig::new(AccessTokenRules::new("issuer", "audience", lifetime)?);
    assert_eq!(alone.idle_lifetime, settings.auth_refresh_token_ttl.duration());
    assert_eq!(alone.absolute_lifetime, settings.auth_session_absolute_ttl.duration());
    assert_eq!(alone.refresh_grace, settings.auth_refresh_grace.duration());
    // The product's name is the settings' alone.
    let own_words = vec![settings.app_name.clone()];
    let alone_policy = saas_auth::PasswordPolicy::clone(&alone.password_policy);
    assert_eq!(crate::breached::policy(&settings), alone_policy.with_own_words(own_words));
    assert_eq!(alone.key_publish_delay, settings.auth_jwks_max_age.duration() + KeySet::RELOAD_SLACK);
    Ok(())
}

#[test]
fn production_with_nothing_set_lists_all_that_is_missing_at_once() {
    for name in ["production", "staging"] {
        let errors = refused(&environment(&[("SAAS_ENVIRONMENT", name)]));
        assert_eq!(
            subjects(&errors),
            ["SAAS_APP_PUBLIC_URL", "SAAS_DATABASE_URL", "SAAS_ROOT_KEY", "SAAS_MAIL_TRANSPORT"]
        );
        assert!(errors.problems().iter().all(|problem| !problem.fix.is_empty() && problem.origin.is_none()));
        assert_eq!(errors.to_string().lines().count(), 5, "{errors}");
    }
}

#[test]
fn production_with_those_set_starts_without_a_warning() -> Result<(), SettingsErrors> {
    let settings = Settings::load(&environment(&[
        ("SAAS_ENVIRONMENT", "prod"),
        ("SAAS_APP_PUBLIC_URL", "https://app.example.com/"),
        ("SAAS_DATABASE_URL", "postgresql+asyncpg://saas:hunter2@db/saas"),
        ("SAAS_ROOT_KEY", KEY),
        ("SAAS_RESEND_API_KEY", "re_0123456789abcdef"),
        ("SAAS_RESEND_DEFAULT_FROM", "post@example.com"),
    ]))?;
    assert_eq!(settings.mail_transport(), MailTransport::Resend);
    assert_eq!(settings.database_url.engine(), DatabaseEngine::Postgres);
    assert_eq!(settings.signup_access_policy, SignupAccessPolicy::InviteOnly);
    assert!(!settings.auto_run_migrations() && settings.warnings().is_empty());
    let shown = format!("{settings:?} {:?}", settings.effective().collect::<Vec<_>>());
    assert!(!shown.contains("hunter2") && !shown.contains(KEY));
    Ok(())
}

#[test]
fn production_on_sqlite_needs_no_root_key() -> Result<(), SettingsErrors> {
    let settings = Settings::load(&environment(&[
        ("SAAS_ENVIRONMENT", "production"),
        ("SAAS_APP_PUBLIC_URL", "https://app.example.com"),
        ("SAAS_DATABASE_URL", "sqlite:/srv/saas.db"),
        ("SAAS_MAIL_TRANSPORT", "folder"),
    ]))?;
    assert!(settings.root_key.is_none() && settings.auto_run_migrations());
    Ok(())
}

#[test]
fn a_hardened_environment_refuses_every_weak_setting_at_once() {
    let errors = refused(&environment(&[
        ("SAAS_ENVIRONMENT", "production"),
        ("SAAS_APP_PUBLIC_URL", "http://app.example.com"),
        ("SAAS_ISSUER", "http://id.example.com"),
        ("SAAS_DATABASE_URL", "postgres://saas:change-me@db/saas"),
        ("SAAS_MIGRATION_DATABASE_URL", "sqlite:x.db"),
        ("SAAS_ROOT_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("SAAS_SMTP_HOST", "smtp.example.com"),
        ("SAAS_SMTP_TLS", "none"),
        ("SAAS_MAIL_FROM", "post@example.com"),
        ("SAAS_METRICS_TOKEN", "change-me-to-something-that-is-long-enough"),
        ("SAAS_AUTH_PASSWORD_MIN_LENGTH", "8"),
        ("SAAS_PASSWORD_HASH_ITERATIONS", "1"),
        ("SAAS_AUTH_PASSWORD_PEPPER", "0123456789abcdef0123456789abcdef,short"),
        ("SAAS_BREACHED_PASSWORDS", "range"),
        ("SAAS_BREACHED_PASSWORDS_URL", "http://mirror.example.com"),
        ("SAAS_AUTH_SESSION_ABSOLUTE_TTL_MINUTES", "60"),
        ("SAAS_ACCESS_TOKEN_EXPIRE_MINUTES", "30"),
        ("DEBUG", "true"),
    ]));
    assert_eq!(
        subjects(&errors),
        [
            "SAAS_ACCESS_TOKEN_EXPIRE_MINUTES",
            "SAAS_MIGRATION_DATABASE_URL",
            "SAAS_AUTH_SESSION_ABSOLUTE_TTL_MINUTES",
            "SAAS_APP_PUBLIC_URL",
            "SAAS_ISSUER",
            "SAAS_DATABASE_URL",
            "SAAS_ROOT_KEY",
            "SAAS_SMTP_TLS",
            "SAAS_METRICS_TOKEN",
            "SAAS_AUTH_PASSWORD_MIN_LENGTH",
            "SAAS_AUTH_PASSWORD_PEPPER",
            "SAAS_BREACHED_PASSWORDS_URL",
            "SAAS_PASSWORD_HASH_MEMORY_KIB",
        ]
    );
}

#[test]
fn hosts_and_origins_are_named_where_the_environment_is_hardened() {
    let with = |environment_: &str, more: &[(&str, &str)]| {
        let common = [
            ("SAAS_ENVIRONMENT", environment_),
            ("SAAS_APP_PUBLIC_URL", "https://app.example.com"),
            ("SAAS_ISSUER", "https://id.example.com"),
            ("SAAS_DATABASE_URL", "sqlite:/data/saas.db"),
            ("SAAS_MAIL_TRANSPORT", "folder"),
        ];
        Settings::load(&environment(&[&common[..], more].concat()))
    };
    let any = [("SAAS_ALLOWED_HOSTS", "*"), ("SAAS_ALLOWED_ORIGINS", "http://app.example.com")];
    assert!(with("development", &any).is_ok());
    let refused = with("production", &any).map_err(|errors| subjects(&errors).join(" ")).err();
    assert_eq!(refused.as_deref(), Some("SAAS_ALLOWED_HOSTS SAAS_ALLOWED_ORIGINS"));

    let every = [("SAAS_ALLOWED_ORIGINS", "*"), ("SAAS_CORS_ALLOW_CREDENTIALS", "true")];
    assert!(with("development", &every[..1]).is_ok());
    let refused = with("development", &every).map_err(|errors| subjects(&errors).join(" ")).err();
    assert_eq!(refused.as_deref(), Some("SAAS_ALLOWED_ORIGINS"));

    let allows = |environment: &str, host: &str| {
        with(environment, &[]).map(|settings| settings.allowed_hosts.allow(host)).ok()
    };
    for (environment, host, allowed) in [
        ("production", "app.example.com", true),
        ("production", "id.example.com:443", true),
        ("production", "localhost", false),
        ("development", "localhost:8000", true),
        ("development", "evil.test", false),
    ] {
        assert_eq!(allows(environment, host), Some(Ok(allowed)), "{environment} {host}");
    }
}

#[test]
fn a_token_for_metrics_is_long_where_it_counts() {
    let hardened = [
        ("SAAS_ENVIRONMENT", "staging"),
        ("SAAS_APP_PUBLIC_URL", "https://app.example.com"),
        ("SAAS_DATABASE_URL", "sqlite:/srv/saas.db"),
        ("SAAS_MAIL_TRANSPORT", "folder"),
    ];
    for (length, fits) in [(31, false), (32, true)] {
        let token = &"0123456789abcdef".repeat(2)[..length];
        let mut all = hardened.to_vec();
        all.push(("SAAS_METRICS_TOKEN", token));
        assert_eq!(Settings::load(&environment(&all)).is_ok(), fits, "{length}");
        assert!(Settings::load(&environment(&[("SAAS_METRICS_TOKEN", token)])).is_ok(), "{length}");
    }
}

/// Those of a hardened environment, and more.
fn hardened<'a>(more: &[(&'a str, &'a str)]) -> Sources {
    let hardened = [
        ("SAAS_ENVIRONMENT", "production"),
        ("SAAS_APP_PUBLIC_URL", "https://app.example.com"),
        ("SAAS_DATABASE_URL", "sqlite:/srv/saas.db"),
    ];
    environment(&[&hardened, more].concat())
}

#[test]
fn mails_go_where_there_is_something_to_send_them_with() -> Result<(), SettingsErrors> {
    const FROM: (&str, &str) = ("SAAS_MAIL_FROM", "Acme <post@acme.example>");
    const SMTP: (&str, &str) = ("SAAS_SMTP_HOST", "smtp.example.com");
    const RESEND: (&str, &str) = ("SAAS_RESEND_API_KEY", "re_0123456789abcdef");
    for (set, expected) in [
        (&[][..], MailTransport::Folder),
        (&[FROM, SMTP], MailTransport::Smtp),
        (&[FROM, RESEND], MailTransport::Resend),
        (&[FROM, SMTP, RESEND, ("SAAS_MAIL_TRANSPORT", "smtp")], MailTransport::Smtp),
        (&[SMTP, ("SAAS_MAIL_TRANSPORT", "folder")], MailTransport::Folder),
    ] {
        assert_eq!(Settings::load(&environment(set))?.mail_transport(), expected, "{set:?}");
    }
    let nothing = Settings::load(&Sources::empty())?;
    assert_eq!(nothing.mail_folder.to_str(), Some("var/mail"));
    let shown = |settings: &Settings| SettingValue::shown(&settings.mail_from());
    assert_eq!(shown(&nothing).as_deref(), Some("SaaS <no-reply@saas.example>"));
    let named =
        environment(&[RESEND, ("SAAS_RESEND_DEFAULT_FROM", "post@acme.example"), ("SAAS_APP_NAME", "Acme")]);
    assert_eq!(shown(&Settings::load(&named)?).as_deref(), Some("Acme <post@acme.example>"));
    Ok(())
}

#[test]
fn a_way_for_mails_that_lacks_something_is_refused_with_what_it_lacks() {
    const FROM: (&str, &str) = ("SAAS_MAIL_FROM", "post@acme.example");
    const SMTP: (&str, &str) = ("SAAS_SMTP_HOST", "smtp.example.com");
    const RESEND: (&str, &str) = ("SAAS_RESEND_API_KEY", "re_0123456789abcdef");
    const USER: (&str, &str) = ("SAAS_SMTP_USERNAME", "saas");
    const PASSWORD: (&str, &str) = ("SAAS_SMTP_PASSWORD", "0123456789abcdef");
    const PLAIN: (&str, &str) = ("SAAS_SMTP_TLS", "none");
    for (set, expected) in [
        (&[("SAAS_MAIL_TRANSPORT", "smtp")][..], &["SAAS_SMTP_HOST", "SAAS_MAIL_FROM"][..]),
        (&[("SAAS_MAIL_TRANSPORT", "resend"), FROM], &["SAAS_RESEND_API_KEY"]),
        (&[SMTP], &["SAAS_MAIL_FROM"]),
        (&[SMTP, RESEND, FROM], &["SAAS_MAIL_TRANSPORT"]),
        (&[SMTP, FROM, USER], &["SAAS_SMTP_PASSWORD"]),
        (&[SMTP, FROM, PASSWORD], &["SAAS_SMTP_USERNAME"]),
        (&[SMTP, FROM, USER, PASSWORD, PLAIN], &["SAAS_SMTP_TLS"]),
    ] {
        assert_eq!(subjects(&refused(&environment(set))), expected, "{set:?}");
    }
    let local = [("SAAS_SMTP_HOST", "127.0.0.1"), FROM, USER, PASSWORD, PLAIN];
    assert!(Settings::load(&environment(&local)).is_ok(), "it stays on this machine");
}

#[test]
fn a_hardened_environment_keeps_mails_from_a_folder_and_from_readers_on_the_way() {
    const FROM: (&str, &str) = ("SAAS_MAIL_FROM", "post@acme.example");
    const SMTP: (&str, &str) = ("SAAS_SMTP_HOST", "smtp.example.com");
    const RESEND: (&str, &str) = ("SAAS_RESEND_API_KEY", "re_0123456789abcdef");
    const PLAIN: (&str, &str) = ("SAAS_SMTP_TLS", "none");
    for (set, expected) in [
        (&[][..], &["SAAS_MAIL_TRANSPORT"][..]),
        (&[("SAAS_MAIL_TRANSPORT", "folder")], &[]),
        (&[SMTP, FROM], &[]),
        (&[SMTP, FROM, PLAIN], &["SAAS_SMTP_TLS"]),
        (&[("SAAS_SMTP_HOST", "localhost"), FROM, PLAIN], &[]),
        (
            &[SMTP, FROM, ("SAAS_SMTP_USERNAME", "a"), ("SAAS_SMTP_PASSWORD", "change-me")],
            &["SAAS_SMTP_PASSWORD"],
        ),
        (&[RESEND, FROM], &[]),
        (&[FROM, ("SAAS_RESEND_API_KEY", "re_change_me")], &["SAAS_RESEND_API_KEY"]),
        (&[RESEND, FROM, ("SAAS_RESEND_BASE_URL", "http://api.resend.com")], &["SAAS_RESEND_BASE_URL"]),
    ] {
        let loaded = Settings::load(&hardened(set));
        let found = loaded.as_ref().err().map(subjects).unwrap_or_default();
        assert_eq!(found, expected, "{set:?}");
    }
}

#[test]
fn the_pairs_that_owasp_names_are_strong_enough() {
    for (memory, iterations, strong) in [
        ("47104", "1", true),
        ("19456", "2", true),
        ("12288", "3", true),
        ("47103", "1", false),
        ("12287", "9", false),
    ] {
        let sources = environment(&[
            ("SAAS_ENVIRONMENT", "staging"),
            ("SAAS_APP_PUBLIC_URL", "https://app.example.com"),
            ("SAAS_DATABASE_URL", "sqlite:/srv/saas.db"),
            ("SAAS_MAIL_TRANSPORT", "folder"),
            ("SAAS_PASSWORD_HASH_MEMORY_KIB", memory),
            ("SAAS_PASSWORD_HASH_ITERATIONS", iterations),
        ]);
        assert_eq!(Settings::load(&sources).is_ok(), strong, "{memory}, {iterations}");
    }
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_last_env_file() -> Result<(), SettingsErrors> {
    let file = |port: u16| Secret::new(format!("SAAS_PORT={port}\nexport SAAS_APP_NAME='From {port}'"));
    let mut sources = Sources::empty().with_env_text(".env", &file(1)).with_env_text(".env.local", &file(2));
    let port = |sources: &Sources| {
        let settings = Settings::load(sources)?;
        let origin = settings.effective().find(|effective| effective.setting.name == "PORT");
        Ok::<_, SettingsErrors>((settings.port, origin.map(|effective| effective.origin)))
    };
    assert_eq!(port(&sources)?, (2, Some(Origin::EnvFile(".env.local".into()))));
    sources =
        sources.with_flags([("PORT", "4")]).with_environment([("SAAS_PORT", "3"), ("SAAS_APP_NAME", " ")]);
    assert_eq!(port(&sources)?, (4, Some(Origin::Flag)));
    assert_eq!(Settings::load(&sources)?.app_name, "From 2");
    Ok(())
}

#[test]
fn bare_names_are_read_only_where_accepted_and_give_way_to_full_ones() -> Result<(), SettingsErrors> {
    let sources = environment(&[("PORT", "1"), ("HOST", "::1"), ("SAAS_PORT", "2"), ("LOG_LEVEL", "loud")]);
    assert_eq!(Settings::load(&sources)?.host.to_string(), "127.0.0.1");
    let hosts = sources.accept_bare_names(true);
    assert_eq!(subjects(&refused(&hosts)), ["LOG_LEVEL"]);
    let settings = Settings::load(&hosts.with_flags([("LOG_LEVEL", "warn")]))?;
    assert_eq!((settings.port, settings.host.to_string()), (2, "::1".to_owned()));
    Ok(())
}

#[test]
fn a_misspelt_name_is_a_warning_beside_what_is_missing() {
    let errors =
        refused(&environment(&[("SAAS_ENVIRONMENT", "production"), ("SAAS_ROT_KEY", KEY), ("SAASY", "1")]));
    assert_eq!(errors.warnings().len(), 1);
    let meant = NoEffect::Unknown { suggestion: Some("SAAS_ROOT_KEY".to_owned()) };
    assert_eq!(errors.warnings().first().map(|warning| &warning.why), Some(&meant));
    assert!(!errors.to_string().contains(KEY));
}

#[test]
fn what_is_set_where_it_does_not_count_is_warned_of() -> Result<(), SettingsErrors> {
    let set = [("SAAS_SQLITE_SYNCHRONOUS", "normal"), ("SAAS_DATABASE_LOCK_TIMEOUT", "1")];
    let warned =
        |settings: &Settings| settings.warnings().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        warned(&Settings::load(&environment(&set))?),
        [
            "SAAS_DATABASE_LOCK_TIMEOUT (process environment) has no effect: it counts where the database is PostgreSQL"
        ]
    );
    let postgres = environment(&set).with_flags([("DATABASE_URL", "postgres://a:b@c/d")]);
    assert_eq!(
        warned(&Settings::load(&postgres)?),
        [
            "SAAS_SQLITE_SYNCHRONOUS (process environment) has no effect: it counts where the database is SQLite"
        ]
    );
    Ok(())
}

#[test]
fn an_unknown_environment_is_refused_and_nothing_else_invented() {
    let errors = refused(&environment(&[("SAAS_ENVIRONMENT", "prodction"), ("SAAS_PORT", "many")]));
    assert_eq!(subjects(&errors), ["SAAS_ENVIRONMENT", "SAAS_PORT"]);
    assert_eq!(errors.profile(), Profile::Development);
}

#[test]
fn no_message_repeats_a_value() {
    let wrong: Vec<(String, String)> = Settings::CATALOGUE
        .iter()
        .map(|setting| (setting.full_name(), "hunter2\u{7}://h:x".to_owned()))
        .collect();
    let errors = refused(&Sources::empty().with_environment(wrong));
    assert_eq!(errors.problems().len(), Settings::CATALOGUE.len());
    assert!(!format!("{errors} {errors:?}").contains("hunter2"));
    assert!(!format!("{:?}", environment(&[("SAAS_ROOT_KEY", "hunter2")])).contains("hunter2"));
}

#[test]
fn a_wrong_env_file_is_reported_with_everything_else() {
    let text = Secret::new("SAAS_PORT=70000\nhunter2\n".to_owned());
    let sources = Sources::empty()
        .with_env_text("prod.env", &text)
        .with_env_file("/nonexistent/saas.env")
        .with_env_file_if_present("/nonexistent/other.env");
    let errors = refused(&sources);
    let lines: Vec<String> = errors.problems().iter().map(SettingProblem::to_string).collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert_eq!(
        lines[0],
        "env file prod.env, line 2 is not NAME=value; write NAME=value, NAME='value' or NAME=\"value\""
    );
    assert!(lines[1].starts_with("env file /nonexistent/saas.env cannot be read: "), "{lines:?}");
    assert_eq!(
        lines[2],
        "SAAS_PORT (env file prod.env) is not a whole number from 0 to 65535; set a port number, for example 8000"
    );
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_unicode_is_refused() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    let variables =
        [("SAAS_APP_NAME".into(), OsString::from_vec(vec![0xff])), ("PATH".into(), OsString::new())];
    let errors = refused(&Sources::from_os_variables(variables));
    assert_eq!(subjects(&errors), ["SAAS_APP_NAME"]);
}

#[test]
fn every_setting_is_documented_and_its_defaults_hold() {
    for setting in Settings::CATALOGUE {
        let name = setting.name;
        assert!(
            setting.doc.split_whitespace().count() >= 5 && setting.doc.ends_with('.'),
            "{name}: {}",
            setting.doc
        );
        assert!(
            setting.fix.split_whitespace().count() >= 3 && !setting.fix.ends_with('.'),
            "{name}: {}",
            setting.fix
        );
        for preset in [setting.default, setting.hardened] {
            if let Preset::Text(text) = preset {
                assert_eq!(setting.check(text), Ok(()), "{name}");
            }
        }
        assert_eq!(Settings::CATALOGUE.iter().filter(|other| other.name == name).count(), 1, "{name}");
    }
}

#[test]
fn the_inventory_has_a_row_for_every_setting_and_every_section_once() {
    let page = inventory();
    for setting in Settings::CATALOGUE {
        assert_eq!(page.matches(&format!("| `{}` |", setting.full_name())).count(), 1, "{page}");
        assert_eq!(page.matches(&format!("## {}\n", setting.section.title())).count(), 1, "{page}");
    }
    let rows = page.lines().filter(|line| line.starts_with('|'));
    assert!(
        rows.clone().count() > Settings::CATALOGUE.len()
            && rows.into_iter().all(|row| row.matches('|').count() == 6),
        "{page}"
    );
    assert!(page.contains(" | one of public, invite_only, approval | `public` | `invite_only` |"), "{page}");
}
