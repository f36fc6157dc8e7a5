//! What settings demand of each other, and a hardened environment of all.

use super::catalogue::Draft;
use super::load::Loader;
use super::root_key::is_placeholder;
use super::{AllowedHosts, BreachedChoice, DatabaseEngine, DatabaseUrl, PublicUrl, Setting, mail};

/// Memory in KiB and iterations of Argon2id: the first three equivalent settings of OWASP's Password Storage Cheat Sheet, each a
/// floor. The two with less memory are left out: memory is what a cracker pays for.
const OWASP: [(u32, u32); 3] = [(47_104, 1), (19_456, 2), (12_288, 3)];

/// Adds a problem for everything that does not fit together. A setting that could not be read is passed over: it has its problem.
pub(super) fn check(draft: &Draft, loader: &mut Loader<'_>) {
    migration_engine(draft, loader);
    session_lifetimes(draft, loader);
    lockout(draft, loader);
    mail::check(draft, loader);
    every_origin(draft, loader);
    if loader.profile().is_hardened() {
        encrypted_addresses(draft, loader);
        hosts_and_origins(draft, loader);
        database_passwords(draft, loader);
        root_key(draft, loader);
        model_key(draft, loader);
        mail::check_hardened(draft, loader);
        metrics_token(draft, loader);
        password_length(draft, loader);
        peppers(draft, loader);
        breached_range(draft, loader);
        password_hashing(draft, loader);
    }
}

fn migration_engine(draft: &Draft, loader: &mut Loader<'_>) {
    if let (Some(database), Some(Some(migration))) = (&draft.database_url, &draft.migration_database_url)
        && database.engine() != migration.engine()
    {
        loader.problem(
            "MIGRATION_DATABASE_URL",
            "is another kind of database than DATABASE_URL",
            "set both to the same database, or unset MIGRATION_DATABASE_URL",
        );
    }
}

fn session_lifetimes(draft: &Draft, loader: &mut Loader<'_>) {
    if let (Some(idle), Some(absolute)) = (draft.auth_refresh_token_ttl, draft.auth_session_absolute_ttl)
        && absolute < idle
    {
        loader.problem(
            "AUTH_SESSION_ABSOLUTE_TTL_MINUTES",
            "is shorter than AUTH_REFRESH_TOKEN_TTL_MINUTES",
            "raise it, or lower AUTH_REFRESH_TOKEN_TTL_MINUTES: a session cannot be idle for longer than it lasts",
        );
    }
}

fn lockout(draft: &Draft, loader: &mut Loader<'_>) {
    if let (Some(threshold), Some(ceiling)) = (draft.auth_lockout_threshold, draft.auth_lockout_ceiling)
        && ceiling < threshold
    {
        loader.problem(
            "AUTH_LOCKOUT_CEILING",
            "is below AUTH_LOCKOUT_THRESHOLD",
            "raise it, or lower AUTH_LOCKOUT_THRESHOLD: an account is locked for a while before it is locked for good",
        );
    }
    if let (Some(address), Some(subnet)) =
        (draft.auth_ip_lockout_threshold, draft.auth_subnet_lockout_threshold)
        && subnet < address
    {
        loader.problem(
            "AUTH_SUBNET_LOCKOUT_THRESHOLD",
            "is below AUTH_IP_LOCKOUT_THRESHOLD",
            "raise it, or lower AUTH_IP_LOCKOUT_THRESHOLD: a network is a part of the one around it",
        );
    }
}

fn encrypted_addresses(draft: &Draft, loader: &mut Loader<'_>) {
    let open = |url: &Option<PublicUrl>| url.as_ref().is_some_and(|url| !url.is_https());
    let what = "does not begin with https://";
    if open(&draft.app_public_url) {
        loader.problem("APP_PUBLIC_URL", what, "set the https:// address that users open");
    }
    // The issuer that follows from the public address is not reported twice.
    if open(&draft.issuer) && draft.issuer != draft.app_public_url {
        loader.problem("ISSUER", what, "set an https:// address, or unset it to use APP_PUBLIC_URL");
    }
}

/// A page of anybody's could act as whoever looks at it.
fn every_origin(draft: &Draft, loader: &mut Loader<'_>) {
    let any = matches!(&draft.allowed_origins, Some(Some(origins)) if origins.is_any());
    if any && draft.cors_allow_credentials == Some(true) {
        loader.problem(
            "ALLOWED_ORIGINS",
            "is * while CORS_ALLOW_CREDENTIALS is true",
            "name the origins, or unset CORS_ALLOW_CREDENTIALS",
        );
    }
}

fn hosts_and_origins(draft: &Draft, loader: &mut Loader<'_>) {
    if draft.allowed_hosts.as_ref().is_some_and(AllowedHosts::is_any) {
        loader.problem(
            "ALLOWED_HOSTS",
            "is *",
            "name the hosts, or unset it to allow that of APP_PUBLIC_URL",
        );
    }
    if let Some(Some(origins)) = &draft.allowed_origins
        && origins.iter().any(|origin| origin.starts_with("http://"))
    {
        loader.problem(
            "ALLOWED_ORIGINS",
            "has an origin without encryption, which anybody on the way can write",
            "set origins that begin with https://",
        );
    }
}

fn database_passwords(draft: &Draft, loader: &mut Loader<'_>) {
    for (name, url) in [
        ("DATABASE_URL", draft.database_url.as_ref()),
        ("MIGRATION_DATABASE_URL", draft.migration_database_url.as_ref().and_then(Option::as_ref)),
    ] {
        if url.is_some_and(DatabaseUrl::has_placeholder_password) {
            loader.problem(
                name,
                "has a placeholder for a password",
                "give the database user a random password",
            );
        }
    }
}

/// Where the database is not known to be SQLite, the key is reported as well: all that is missing is told at once.
fn root_key(draft: &Draft, loader: &mut Loader<'_>) {
    let sqlite = draft.database_url.as_ref().is_some_and(|url| url.engine() == DatabaseEngine::Sqlite);
    let fix = Setting::named("ROOT_KEY").map_or("", |setting| setting.fix);
    match &draft.root_key {
        Some(Some(key)) => {
            if let Some(weakness) = key.weakness() {
                loader.problem("ROOT_KEY", weakness, fix);
            }
        }
        Some(None) if !sqlite => {
            loader.problem(
                "ROOT_KEY",
                "is not set, which only SQLite can do without (it generates one)",
                fix,
            );
        }
        Some(None) | None => {}
    }
}

fn model_key(draft: &Draft, loader: &mut Loader<'_>) {
    let key = draft.openai_api_key.as_ref().and_then(Option::as_ref);
    // Real keys are long and random: one may hold any word.
    if key.is_some_and(|key| key.expose().len() < 32 && is_placeholder(key.expose().as_bytes())) {
        loader.problem(
            "OPENAI_API_KEY",
            "is a placeholder",
            "set the key of your OpenAI project, or unset it",
        );
    }
}

fn metrics_token(draft: &Draft, loader: &mut Loader<'_>) {
    let Some(Some(token)) = &draft.metrics_token else { return };
    let token = token.expose();
    let what = if token.len() < 32 {
        "is shorter than 32 characters"
    } else if is_placeholder(token.as_bytes()) {
        "is a placeholder"
    } else {
        return;
    };
    loader.problem("METRICS_TOKEN", what, Setting::named("METRICS_TOKEN").map_or("", |setting| setting.fix));
}

fn password_length(draft: &Draft, loader: &mut Loader<'_>) {
    if draft.auth_password_min_length.is_some_and(|length| length < 15) {
        loader.problem(
            "AUTH_PASSWORD_MIN_LENGTH",
            "is below 15, too short for a password that is the only factor",
            "set 15 or more",
        );
    }
}

fn peppers(draft: &Draft, loader: &mut Loader<'_>) {
    let Some(Some(peppers)) = &draft.auth_password_pepper else { return };
    let what = if peppers.entries().iter().any(|pepper| pepper.expose().len() < 32) {
        "has an entry that is shorter than 32 characters"
    } else if peppers.entries().iter().any(|pepper| is_placeholder(pepper.expose().as_bytes())) {
        "has a placeholder in it"
    } else {
        return;
    };
    loader.problem(
        "AUTH_PASSWORD_PEPPER",
        what,
        Setting::named("AUTH_PASSWORD_PEPPER").map_or("", |setting| setting.fix),
    );
}

/// Whoever is on the way could say of every password that nobody has it.
fn breached_range(draft: &Draft, loader: &mut Loader<'_>) {
    let asked = draft.breached_passwords == Some(BreachedChoice::Range);
    if asked && draft.breached_passwords_url.as_ref().is_some_and(|url| !url.is_https()) {
        loader.problem(
            "BREACHED_PASSWORDS_URL",
            "does not begin with https://",
            "set the https:// address of the service, or unset it",
        );
    }
}

fn password_hashing(draft: &Draft, loader: &mut Loader<'_>) {
    if let (Some(memory), Some(iterations)) = (draft.password_hash_memory_kib, draft.password_hash_iterations)
        && !OWASP.iter().any(|&(least, passes)| memory >= least && iterations >= passes)
    {
        loader.problem(
            "PASSWORD_HASH_MEMORY_KIB",
            &format!("of {memory} with PASSWORD_HASH_ITERATIONS of {iterations} is weaker than OWASP allows"),
            "set at least 47104 with 1, 19456 with 2 or 12288 with 3 iterations",
        );
    }
}
