//! Which database, and how to get in.

use std::fmt::{self, Write as _};
use std::path::Path;

use saas_core::Secret;
use url::Url;

use super::SettingValue;
use super::root_key::is_placeholder;

/// The kind of database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DatabaseEngine {
    /// One file on this machine.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// The address of a database, its password hidden.
///
/// `sqlite:<path>` and `sqlite://<path>` take the path as it stands, nothing percent-decoded, and create the file. `postgres://` and
/// `postgresql://` are the same; a driver's name behind a plus sign is dropped.
#[derive(Clone)]
pub struct DatabaseUrl {
    engine: DatabaseEngine,
    url: Secret<String>,
    shown: String,
    placeholder: bool,
}

impl DatabaseUrl {
    /// The SQLite database in that file.
    pub fn sqlite(path: &Path) -> Self {
        let url = format!("sqlite:{}", path.display());
        Self { engine: DatabaseEngine::Sqlite, url: Secret::new(url.clone()), shown: url, placeholder: false }
    }

    /// The kind of database.
    pub const fn engine(&self) -> DatabaseEngine {
        self.engine
    }

    /// The address with its password: `sqlite:…` or `postgres://…`. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        self.url.expose()
    }

    /// The address with `***` for its password.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The file, for SQLite.
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.shown.strip_prefix("sqlite:").map(Path::new)
    }

    /// Whether the password is a word that stands for one, like `changeme`.
    pub(super) const fn has_placeholder_password(&self) -> bool {
        self.placeholder
    }

    fn parse_sqlite(path: &str) -> Result<Self, String> {
        // What sqlx's own examples write; it is what happens anyway.
        let path = path.strip_suffix("?mode=rwc").unwrap_or(path);
        if path.contains('?') {
            return Err("has parameters, which sqlite: does not take here".to_owned());
        }
        if path.is_empty() || path.contains(":memory:") {
            return Err(
                "names no file; a database in memory is not supported, use a temporary file".to_owned()
            );
        }
        String::parse(path).map(|path| Self::sqlite(Path::new(&path)))
    }

    fn parse_postgres(rest: &str) -> Result<Self, String> {
        let text = Secret::new(format!("postgres:{rest}"));
        let url = Url::parse(text.expose()).map_err(|error| format!("is not a database URL: {error}"))?;
        let name = url.path().strip_prefix('/').unwrap_or_default();
        // An unencoded `/`, `?` or `#` in the password ends the host early; what then looks like a path is the password's end.
        if !url.has_authority() || name.is_empty() || name.contains(['/', '@']) || url.fragment().is_some() {
            return Err(
                "names no database, or its password has special characters that are not percent-encoded"
                    .to_owned(),
            );
        }
        if url.query_pairs().any(|(key, _)| key == "ssl") {
            return Err("has the parameter ssl, which would be ignored; use sslmode".to_owned());
        }
        let placeholder = url.password().is_some_and(|password| is_placeholder(password.as_bytes()));
        Ok(Self { engine: DatabaseEngine::Postgres, shown: masked(&url), url: text, placeholder })
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&self.shown).finish()
    }
}

impl SettingValue for DatabaseUrl {
    const KIND: &'static str = "database URL";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| "is not a database URL".to_owned())?;
        match scheme.to_ascii_lowercase().split('+').next() {
            Some("sqlite") if !scheme.contains('+') => {
                Self::parse_sqlite(rest.strip_prefix("//").unwrap_or(rest))
            }
            Some("sqlite") => {
                Err("names a driver, with which relative paths are written otherwise".to_owned())
            }
            Some("postgres" | "postgresql") => Self::parse_postgres(rest),
            _ => Err("begins with neither postgres:// nor sqlite:".to_owned()),
        }
    }

    fn shown(&self) -> Option<String> {
        Some(self.shown.clone())
    }
}

/// The address put together again from its parts. Writing to a `String` cannot fail.
fn masked(url: &Url) -> String {
    let mut shown = String::from("postgres://");
    match (url.username(), url.password()) {
        ("", None) => {}
        (user, None) => _ = write!(shown, "{user}@"),
        (user, Some(_)) => _ = write!(shown, "{user}:***@"),
    }
    shown.push_str(url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        let _ = write!(shown, ":{port}");
    }
    shown.push_str(url.path());
    for (index, (key, value)) in url.query_pairs().enumerate() {
        let value = if key.to_ascii_lowercase().contains("pass") { "***" } else { value.as_ref() };
        let _ = write!(shown, "{}{key}={value}", if index == 0 { '?' } else { '&' });
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{DatabaseEngine, DatabaseUrl, SettingValue};

    fn parsed(text: &str) -> Result<(DatabaseEngine, String, String), String> {
        DatabaseUrl::parse(text).map(|url| (url.engine(), url.expose().to_owned(), url.shown().to_owned()))
    }

    #[test]
    fn a_postgres_url_loses_its_driver_and_shows_no_password() {
        for scheme in ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "PostgreSQL"] {
            assert_eq!(
                parsed(&format!(
                    "{scheme}://saas:hunter2@db.internal:5433/saas?sslmode=require&password=hunter3"
                )),
                Ok((
                    DatabaseEngine::Postgres,
                    "postgres://saas:hunter2@db.internal:5433/saas?sslmode=require&password=hunter3"
                        .to_owned(),
                    "postgres://saas:***@db.internal:5433/saas?sslmode=require&password=***".to_owned(),
                ))
            );
        }
        let url = DatabaseUrl::parse("postgres://saas:hunter2@db/saas");
        assert!(!format!("{url:?}").contains("hunter2"));
        let socket = "postgres:///saas?host=/run/postgresql";
        assert_eq!(parsed(socket), Ok((DatabaseEngine::Postgres, socket.to_owned(), socket.to_owned())));
    }

    #[test]
    fn a_sqlite_url_is_a_path() {
        for (text, path) in [
            ("sqlite:var/saas.db", "var/saas.db"),
            ("sqlite://var/saas.db?mode=rwc", "var/saas.db"),
            ("sqlite:///srv/saas.db", "/srv/saas.db"),
            ("SQLite:/srv/saas 100%.db", "/srv/saas 100%.db"),
        ] {
            let url = DatabaseUrl::parse(text);
            assert!(
                url.as_ref().is_ok_and(|url| url.sqlite_path() == Some(Path::new(path))),
                "{text}: {url:?}"
            );
            assert_eq!(
                parsed(text),
                Ok((DatabaseEngine::Sqlite, format!("sqlite:{path}"), format!("sqlite:{path}")))
            );
        }
    }

    #[test]
    fn what_cannot_work_is_refused_without_repeating_it() {
        for text in [
            "hunter2",
            "mysql://u:hunter2@h/db",
            "postgres:hunter2",
            "postgres://u:hunter2@h",
            "postgres://u:hunter2@h/",
            "postgres://u:1/hunter2@h/db",
            "postgres://u:1#hunter2@h/db",
            "postgres://u:1?hunter2@h/db",
            "postgres://u:hunter2/x@h/db",
            "postgresql+asyncpg://u:hunter2@h/db?ssl=require",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:x.db?cache=shared",
            "sqlite+aiosqlite:///x.db",
        ] {
            let refused = DatabaseUrl::parse(text);
            assert!(refused.as_ref().is_err_and(|what| !what.contains("hunter2")), "{text}: {refused:?}");
        }
    }
}
