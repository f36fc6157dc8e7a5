//! The list of settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use saas_core::{Email, Mailbox, Secret};

use super::Preset::{Derived, Required, Text, Unset};
use super::load::{Loader, Slot};
use super::{
    AllowedHosts, AllowedOrigins, BreachedChoice, BreachedSignInChoice, Condition, DatabaseEngine,
    DatabaseUrl, Days, ForwardedHeader, GeoChoice, LogFormat, LogLevel, MailTransport, Minutes, Origin,
    Profile, ProxyNetworks, PublicUrl, RootKey, SecondFactor, Seconds, SecretList, Section, Setting,
    SettingValue, SettingWarning, SignupAccessPolicy, SmtpEncryption, SqliteSynchronous, TextList,
    UnknownChoice,
};

settings! {
    Application {
        /// Where the program runs. Staging and production are hardened: they refuse weak settings and have stricter defaults.
        environment: Profile = "ENVIRONMENT" {
            default: Text("development"),
            fix: "use development, test, staging or production",
        }
        /// What the product calls itself in front of its users.
        app_name: String = "APP_NAME" {
            default: Text("SaaS"),
            fix: "set a name in plain text",
        }
        /// The address at which users reach the product, without a slash at the end.
        app_public_url: PublicUrl = "APP_PUBLIC_URL" {
            default: Text("http://localhost:8000"),
            hardened: Required,
            rule: "must be set and begin with https://",
            fix: "set the address that users open, for example https://app.example.com",
        }
        /// The directory for what the product keeps in files: the SQLite database, generated keys.
        data_dir: PathBuf = "DATA_DIR" {
            default: Text("var"),
            fix: "name a directory that the program may write to",
        }
    }
    Server {
        /// The address to listen on.
        host: IpAddr = "HOST" {
            default: Text("127.0.0.1"),
            fix: "set an IP address, for example 127.0.0.1, or 0.0.0.0 for every network",
        }
        /// The port to listen on; 0 takes any free one.
        port: u16 = "PORT" {
            default: Text("8000"),
            range: 0..=65_535,
            fix: "set a port number, for example 8000",
        }
        /// The largest head of a request accepted, in bytes: its first line and its header fields.
        request_head_limit_bytes: usize = "REQUEST_HEAD_LIMIT_BYTES" {
            default: Text("32768"),
            range: 8_192..=1_048_576,
            fix: "set a number of bytes, for example 32768",
        }
        /// How many header fields a request may have.
        request_header_limit: usize = "REQUEST_HEADER_LIMIT" {
            default: Text("100"),
            range: 16..=1_000,
            fix: "set a number of header fields, for example 100",
        }
        /// The longest path and query of a request accepted, in bytes.
        request_uri_limit_bytes: usize = "REQUEST_URI_LIMIT_BYTES" {
            default: Text("8192"),
            range: 256..=65_534,
            fix: "set a number of bytes, for example 8192",
        }
        /// How long a request's head may take, from the opening of the connection or its first byte on.
        request_head_timeout: Seconds = "REQUEST_HEAD_TIMEOUT_SECONDS" {
            default: Text("10"),
            range: 1..=600,
            fix: "set a number of seconds, for example 10",
        }
        /// The largest request body accepted, in bytes.
        request_body_limit_bytes: usize = "REQUEST_BODY_LIMIT_BYTES" {
            default: Text("1048576"),
            range: 1_024..=104_857_600,
            fix: "set a number of bytes, for example 1048576",
        }
        /// How long a request's body may take. A stopping server waits that long for one that stalls.
        request_body_timeout: Seconds = "REQUEST_BODY_TIMEOUT_SECONDS" {
            default: Text("10"),
            range: 1..=3_600,
            fix: "set a number of seconds, for example 10",
        }
        /// How long a request may take until it is answered with a time-out.
        request_timeout: Seconds = "REQUEST_TIMEOUT_SECONDS" {
            default: Text("30"),
            range: 1..=3_600,
            fix: "set a number of seconds, for example 30",
        }
        /// How long a client may read nothing of its answer until the connection ends. A run whose stream ends so goes on.
        write_timeout: Seconds = "WRITE_TIMEOUT_SECONDS" {
            default: Text("30"),
            range: 1..=3_600,
            fix: "set a number of seconds, for example 30",
        }
        /// How long a connection stays open without a request. Behind a load balancer it should be longer than that one keeps it.
        keep_alive_timeout: Seconds = "KEEP_ALIVE_TIMEOUT_SECONDS" {
            default: Text("75"),
            range: 1..=3_600,
            fix: "set a number of seconds, for example 75",
        }
        /// How many connections may be open. When they are, those without a request are closed for new ones.
        max_connections: Option<usize> = "MAX_CONNECTIONS" {
            default: Derived("the limit on open files (`ulimit -n`) less what database and files need, 8192 at most"),
            range: 1..=1_000_000,
            fix: "set a number of connections, for example 4096, or unset it",
        }
        /// How many connections one address may have open, a /64 where it is IPv6; 0 for as many as there are. Proxies of
        /// `TRUSTED_PROXIES` may have as many as there are.
        max_connections_per_address: Option<usize> = "MAX_CONNECTIONS_PER_ADDRESS" {
            default: Derived("a quarter of `MAX_CONNECTIONS`, at least 64"),
            range: 0..=1_000_000,
            fix: "set a number of connections, for example 64 where clients connect directly, or 0 behind a proxy that TRUSTED_PROXIES does not name",
        }
        /// How many requests one connection of HTTP/2 may have open.
        http2_stream_limit: u32 = "HTTP2_STREAM_LIMIT" {
            default: Text("100"),
            range: 1..=10_000,
            fix: "set a number of requests, for example 100",
        }
        /// How long a stopping server waits for the requests that it has begun.
        shutdown_deadline: Seconds = "SHUTDOWN_DEADLINE_SECONDS" {
            default: Text("20"),
            range: 0..=3_600,
            fix: "set a number of seconds, for example 20, below the time after which your supervisor kills",
        }
    }
    Network {
        /// The proxies whose word counts on who called them and how: addresses and networks. Without them, and without
        /// `TRUSTED_PROXY_HOPS`, a client is whoever the connection is from.
        trusted_proxies: Option<ProxyNetworks> = "TRUSTED_PROXIES" {
            default: Unset,
            fix: "set the addresses or networks of your proxies, for example 10.0.0.0/8, or unset it",
        }
        /// How many proxies are on the way at most. Without `TRUSTED_PROXIES` that many are believed wherever they are: then nobody else
        /// may reach the server.
        trusted_proxy_hops: Option<usize> = "TRUSTED_PROXY_HOPS" {
            default: Unset,
            range: 1..=16,
            fix: "set the number of proxies between clients and the server, for example 1, or unset it",
        }
        /// The header that those proxies tell the client in; the others are not looked at.
        forwarded_header: ForwardedHeader = "FORWARDED_HEADER" {
            default: Text("x-forwarded-for"),
            when: ("`TRUSTED_PROXIES` or `TRUSTED_PROXY_HOPS` is set", |settings| settings.trusted_proxies.is_some() || settings.trusted_proxy_hops.is_some()),
            fix: "use x-forwarded-for or forwarded, whichever your proxy writes",
        }
        /// The hosts that requests may be for: names, with a port or without, and `*.example.com` for all below one. Health, keys and
        /// metrics are answered whatever the host is.
        allowed_hosts: AllowedHosts = "ALLOWED_HOSTS" {
            default: Derived("the hosts of `APP_PUBLIC_URL` and `ISSUER`, and the machine's own: localhost, 127.0.0.0/8, [::1]"),
            hardened: Derived("the hosts of `APP_PUBLIC_URL` and `ISSUER`"),
            rule: "must not be `*`",
            fix: "set the hosts that users open, for example app.example.com, or unset it",
        }
        /// For how long a browser that came over TLS is told to come over TLS alone (HSTS); 0 does not tell it.
        hsts_max_age: Seconds = "HSTS_MAX_AGE_SECONDS" {
            default: Text("31536000"),
            range: 0..=63_072_000,
            fix: "set a number of seconds, for example 31536000 for a year, or 0",
        }
        /// Whether that goes for all hosts below this one, too.
        hsts_include_subdomains: bool = "HSTS_INCLUDE_SUBDOMAINS" {
            default: Text("false"),
            fix: "use true where every host below yours is served over TLS, else false",
        }
        /// The web pages that may call the API from a browser, by their origins; `*` for all.
        allowed_origins: Option<AllowedOrigins> = "ALLOWED_ORIGINS" {
            default: Unset,
            rule: "must begin with https://",
            fix: "set origins without a path, for example https://app.example.com, or unset it",
        }
        /// Whether those pages may send cookies along, as `AUTH_COOKIES` has them.
        cors_allow_credentials: bool = "CORS_ALLOW_CREDENTIALS" {
            default: Text("false"),
            when: ("`ALLOWED_ORIGINS` is set", |settings| settings.allowed_origins.is_some()),
            fix: "use true or false; true needs origins that are named",
        }
        /// For how long browsers may remember what such a page may do.
        cors_max_age: Seconds = "CORS_MAX_AGE_SECONDS" {
            default: Text("7200"),
            range: 0..=86_400,
            when: ("`ALLOWED_ORIGINS` is set", |settings| settings.allowed_origins.is_some()),
            fix: "set a number of seconds, for example 7200",
        }
    }
    Database {
        /// The database: `sqlite:<path>` or `postgres://user:password@host/name`. A driver in the scheme (`postgresql+asyncpg`) is dropped.
        database_url: DatabaseUrl = "DATABASE_URL" {
            default: Derived("`sqlite:<DATA_DIR>/saas.db`"),
            hardened: Required,
            rule: "must be set; its password must not be a placeholder",
            fix: "set postgres://user:password@host/name or sqlite:<path>, special characters of the password percent-encoded",
        }
        /// The same database as a user who may change the schema; migrations use it. Without it they use `DATABASE_URL`.
        migration_database_url: Option<DatabaseUrl> = "MIGRATION_DATABASE_URL" {
            default: Unset,
            rule: "its password must not be a placeholder",
            fix: "set postgres://owner:password@host/name for the database of DATABASE_URL, or unset it",
        }
        /// How many connections the program holds at most.
        database_pool_size: u32 = "DATABASE_POOL_SIZE" {
            default: Text("10"),
            range: 1..=1_000,
            fix: "set a number of connections, for example 10",
        }
        /// How long to wait for a free connection.
        database_pool_timeout: Seconds = "DATABASE_POOL_TIMEOUT" {
            default: Text("5"),
            range: 1..=3_600,
            fix: "set a number of seconds, for example 5",
        }
        /// How long to wait for the one writer that SQLite has.
        database_write_timeout: Seconds = "DATABASE_WRITE_TIMEOUT" {
            default: Text("5"),
            range: 1..=3_600,
            fix: "set a number of seconds, for example 5",
        }
        /// How long one statement may run on PostgreSQL.
        database_statement_timeout: Seconds = "DATABASE_STATEMENT_TIMEOUT" {
            default: Text("30"),
            range: 1..=86_400,
            when: ("the database is PostgreSQL", |settings| settings.database_url.engine() == DatabaseEngine::Postgres),
            fix: "set a number of seconds, for example 30",
        }
        /// How long a statement may wait for a lock on PostgreSQL.
        database_lock_timeout: Seconds = "DATABASE_LOCK_TIMEOUT" {
            default: Text("5"),
            range: 1..=3_600,
            when: ("the database is PostgreSQL", |settings| settings.database_url.engine() == DatabaseEngine::Postgres),
            fix: "set a number of seconds, for example 5",
        }
        /// How long the health check waits for the database.
        database_health_timeout: Seconds = "DATABASE_HEALTH_TIMEOUT" {
            default: Text("5"),
            range: 1..=3_600,
            fix: "set a number of seconds, for example 5",
        }
        /// Whether SQLite waits for the disk at every commit (`full`), or may lose the last commits when the power fails (`normal`).
        sqlite_synchronous: SqliteSynchronous = "SQLITE_SYNCHRONOUS" {
            default: Text("full"),
            when: ("the database is SQLite", |settings| settings.database_url.engine() == DatabaseEngine::Sqlite),
            fix: "use full or normal",
        }
        /// Whether a starting host brings the schema up to date by itself.
        auto_run_migrations: Option<bool> = "AUTO_RUN_MIGRATIONS" {
            default: Derived("true"),
            hardened: Derived("true on SQLite, else false"),
            fix: "use true or false",
        }
    }
    Secrets {
        /// The key under which the product's own secrets are sealed: 32 bytes in base64. Without it one is generated in `DATA_DIR`.
        root_key: Option<RootKey> = "ROOT_KEY" {
            default: Derived("generated in `DATA_DIR`"),
            hardened: Derived("on SQLite generated in `DATA_DIR`"),
            rule: "must be set on PostgreSQL, and be neither a pattern nor a placeholder",
            fix: "set 32 random bytes in base64, for example from: openssl rand -base64 32",
        }
    }
    Tokens {
        /// Who signs the access tokens: their `iss`.
        issuer: PublicUrl = "ISSUER" {
            default: Derived("`APP_PUBLIC_URL`"),
            rule: "must begin with https://",
            fix: "set the address under which verifiers know the product, or unset it to use APP_PUBLIC_URL",
        }
        /// Whom the access tokens are for. The first is their `aud`; a list is written `a,b` or as a JSON array.
        auth_audience: TextList = "AUTH_AUDIENCE" {
            default: Text("agent-api"),
            fix: "set at least one name, for example agent-api",
        }
        /// How long an access token is good for.
        access_token_expire: Minutes = "ACCESS_TOKEN_EXPIRE_MINUTES" {
            default: Text("15"),
            range: 1..=15,
            fix: "set 15 or fewer; a session is kept by its refresh token, not by a longer access token",
        }
        /// How long others may cache the keys that verify access tokens.
        auth_jwks_max_age: Seconds = "AUTH_JWKS_MAX_AGE_SECONDS" {
            default: Text("300"),
            range: 1..=86_400,
            fix: "set a number of seconds, for example 300",
        }
    }
    Sessions {
        /// How long a session lasts without being used.
        auth_refresh_token_ttl: Minutes = "AUTH_REFRESH_TOKEN_TTL_MINUTES" {
            default: Text("43200"),
            range: 1..=5_256_000,
            fix: "set a number of minutes, for example 43200 for 30 days",
        }
        /// How long a session lasts at most, however much it is used.
        auth_session_absolute_ttl: Minutes = "AUTH_SESSION_ABSOLUTE_TTL_MINUTES" {
            default: Text("129600"),
            range: 1..=5_256_000,
            fix: "set a number of minutes, for example 129600 for 90 days, not below AUTH_REFRESH_TOKEN_TTL_MINUTES",
        }
        /// How long a refresh token that was just replaced is forgiven a second use, as when two tabs refresh at once.
        auth_refresh_grace: Seconds = "AUTH_REFRESH_GRACE_SECONDS" {
            default: Text("10"),
            range: 0..=60,
            fix: "set 60 seconds or fewer",
        }
        /// Whether a browser that asks for it holds its session by a cookie in place of tokens; only pages of `APP_PUBLIC_URL` and of
        /// `ALLOWED_ORIGINS` may then act with it.
        auth_cookies: bool = "AUTH_COOKIES" {
            default: Text("false"),
            fix: "use true where browsers sign in, else false",
        }
        /// Whether users are told by mail of a sign-in from a device, or a country, that none of their sessions is of.
        auth_mail_new_sign_ins: Option<bool> = "AUTH_MAIL_NEW_SIGN_INS" {
            default: Derived("true where mails go by SMTP or Resend, else false"),
            fix: "use true or false, or unset it",
        }
        /// How old what a request is decided by may be: its session, user, role and tenant. What changes on the same server counts at
        /// once, what changes on another one within a second as a rule and after this time in any case; 0 asks the database each time.
        auth_decision_max_age: Seconds = "AUTH_DECISION_MAX_AGE_SECONDS" {
            default: Text("5"),
            range: 0..=5,
            fix: "set 5 seconds or fewer",
        }
    }
    Places {
        /// Who is asked where a session was opened, after the answer: a file in the format of MaxMind (`GeoLite2` and others) or of
        /// `IP2Location`, which tells nobody anything; the service IPinfo, which is told the first address of its network; or nobody.
        geoip_provider: GeoChoice = "GEOIP_PROVIDER" {
            default: Text("none"),
            fix: "use none, maxmind, ip2location or ipinfo",
        }
        /// The file with MaxMind's places, `.mmdb`; read when the program starts.
        geoip_maxmind_db_path: Option<PathBuf> = "GEOIP_MAXMIND_DB_PATH" {
            default: Unset,
            when: ("`GEOIP_PROVIDER` is `maxmind`", |settings| settings.geoip_provider == GeoChoice::MaxMind),
            fix: "name the file that you downloaded, for example GeoLite2-City.mmdb",
        }
        /// The file with `IP2Location`'s places, `.BIN`; read when the program starts.
        geoip_ip2location_db_path: Option<PathBuf> = "GEOIP_IP2LOCATION_DB_PATH" {
            default: Unset,
            when: ("`GEOIP_PROVIDER` is `ip2location`", |settings| settings.geoip_provider == GeoChoice::Ip2Location),
            fix: "name the file that you downloaded, for example IP2LOCATION-LITE-DB3.BIN",
        }
        /// The token of your account at IPinfo.
        geoip_ipinfo_token: Option<Secret<String>> = "GEOIP_IPINFO_TOKEN" {
            default: Unset,
            when: ("`GEOIP_PROVIDER` is `ipinfo`", |settings| settings.geoip_provider == GeoChoice::IpInfo),
            fix: "set the token that your account shows",
        }
        /// How long IPinfo may take to answer; nobody who signs in waits for it.
        geoip_http_timeout: Seconds = "GEOIP_HTTP_TIMEOUT_SECONDS" {
            default: Text("2"),
            range: 1..=30,
            when: ("`GEOIP_PROVIDER` is `ipinfo`", |settings| settings.geoip_provider == GeoChoice::IpInfo),
            fix: "set a number of seconds, for example 2",
        }
        /// How long what IPinfo said of a network is remembered.
        geoip_cache_ttl: Seconds = "GEOIP_CACHE_TTL_SECONDS" {
            default: Text("900"),
            range: 1..=604_800,
            when: ("`GEOIP_PROVIDER` is `ipinfo`", |settings| settings.geoip_provider == GeoChoice::IpInfo),
            fix: "set a number of seconds, for example 900",
        }
        /// Of how many networks it is remembered.
        geoip_cache_max_entries: usize = "GEOIP_CACHE_MAX_ENTRIES" {
            default: Text("4096"),
            range: 1..=1_000_000,
            when: ("`GEOIP_PROVIDER` is `ipinfo`", |settings| settings.geoip_provider == GeoChoice::IpInfo),
            fix: "set a number of networks, for example 4096",
        }
    }
    SecondFactors {
        /// Who has to have a second factor: nobody, admins and owners of a tenant, or everybody. Whoever has to and has none may sign in and do
        /// nothing but add one.
        auth_second_factor: SecondFactor = "AUTH_SECOND_FACTOR" {
            default: Text("optional"),
            fix: "use optional, required_for_admins or required",
        }
        /// How long ago a user may have proved who they are for what is sensitive, as removing a second factor; else they prove it again.
        auth_step_up_max_age: Seconds = "AUTH_STEP_UP_MAX_AGE_SECONDS" {
            default: Text("600"),
            range: 30..=3_600,
            fix: "set a number of seconds, for example 600 for 10 minutes",
        }
    }
    Passwords {
        /// How many characters a new password needs that is the only factor. A hardened environment takes no fewer than 15
        /// (NIST SP 800-63B-4, 3.1.1.2).
        auth_password_min_length: usize = "AUTH_PASSWORD_MIN_LENGTH" {
            default: Text("15"),
            range: 8..=64,
            rule: "at least 15",
            fix: "set a number of characters, for example 15",
        }
        /// How many characters a new password needs beside which the user has a second factor.
        auth_password_min_length_with_second_factor: usize = "AUTH_PASSWORD_MIN_LENGTH_WITH_SECOND_FACTOR" {
            default: Text("8"),
            range: 8..=64,
            fix: "set a number of characters, for example 8",
        }
        /// How many of a user's last passwords are not taken again, the one that they have among them; 0 looks at none. Looking at one
        /// costs what a sign-in does.
        auth_password_history_count: u32 = "AUTH_PASSWORD_HISTORY_COUNT" {
            default: Text("0"),
            range: 0..=24,
            fix: "set a number of passwords, for example 5, or 0",
        }
        /// Words beside `APP_NAME` that no password may be made of, as your company's name: `a,b` or a JSON array.
        auth_password_blocked_words: Option<TextList> = "AUTH_PASSWORD_BLOCKED_WORDS" {
            default: Unset,
            fix: "set words of four letters or more, separated by commas, or unset it",
        }
        /// Peppers of your own for password hashes: texts separated by commas, the first for new hashes, the others for what is stored.
        /// Without it one is made and kept among the secrets. To change it, put the new one before the old one: who signs in gets the new
        /// one. Whoever's hash has one that is taken away cannot sign in any more.
        auth_password_pepper: Option<SecretList> = "AUTH_PASSWORD_PEPPER" {
            default: Derived("made and kept among the secrets"),
            rule: "each must have at least 32 characters and not be a placeholder",
            fix: "set the output of `openssl rand -hex 32` before the ones you have, or unset it if you never set it",
        }
        /// Which list of stolen passwords new ones are looked up in: `bundled`, the 60,000 most common that are in the program; `file`, a
        /// downloaded one; `range`, a service that is told five digits of a hash; or `none`.
        breached_passwords: BreachedChoice = "BREACHED_PASSWORDS" {
            default: Text("bundled"),
            fix: "use bundled, file, range or none",
        }
        /// That file: lines of SHA-1 and count in order, as haveibeenpwned-downloader writes them.
        breached_passwords_file: Option<PathBuf> = "BREACHED_PASSWORDS_FILE" {
            default: Unset,
            when: ("`BREACHED_PASSWORDS` is `file`", |settings| settings.breached_passwords == BreachedChoice::File),
            fix: "name the file that you downloaded",
        }
        /// Where that service is, up to the `/range/` of its paths.
        breached_passwords_url: PublicUrl = "BREACHED_PASSWORDS_URL" {
            default: Text("https://api.pwnedpasswords.com"),
            rule: "must begin with https://",
            when: ("`BREACHED_PASSWORDS` is `range`", |settings| settings.breached_passwords == BreachedChoice::Range),
            fix: "set the address before /range/, https://api.pwnedpasswords.com, or unset it",
        }
        /// How long it may take to answer; who sets a password or signs in waits for it.
        breached_passwords_timeout: Seconds = "BREACHED_PASSWORDS_TIMEOUT_SECONDS" {
            default: Text("2"),
            range: 1..=10,
            when: ("`BREACHED_PASSWORDS` is `range`", |settings| settings.breached_passwords == BreachedChoice::Range),
            fix: "set a number of seconds, for example 2",
        }
        /// What becomes of a new password that cannot be looked up: `accept`, or `refuse` until it can be.
        breached_passwords_when_unknown: UnknownChoice = "BREACHED_PASSWORDS_WHEN_UNKNOWN" {
            default: Text("accept"),
            fix: "use accept or refuse",
        }
        /// What becomes of somebody who signs in with a stolen password: `flag` lets them in and tells them to change it, `refuse` does not
        /// until they have reset it by mail, `ignore` does not look.
        breached_passwords_at_sign_in: BreachedSignInChoice = "BREACHED_PASSWORDS_AT_SIGN_IN" {
            default: Text("flag"),
            fix: "use flag, refuse or ignore",
        }
        /// The memory that one password hash (Argon2id) takes, in KiB.
        password_hash_memory_kib: u32 = "PASSWORD_HASH_MEMORY_KIB" {
            default: Text("19456"),
            range: 8..=1_048_576,
            rule: "with the iterations at least one of OWASP's pairs: 47104 and 1, 19456 and 2, 12288 and 3",
            fix: "set a number of KiB, for example 19456",
        }
        /// How many passes a password hash makes over its memory.
        password_hash_iterations: u32 = "PASSWORD_HASH_ITERATIONS" {
            default: Text("2"),
            range: 1..=16,
            rule: "see `PASSWORD_HASH_MEMORY_KIB`",
            fix: "set a number of passes, for example 2",
        }
        /// How many passwords are hashed at once; 0 stands for the number of cores.
        password_hash_concurrency: usize = "PASSWORD_HASH_CONCURRENCY" {
            default: Text("0"),
            range: 0..=1_024,
            fix: "set a number of threads, or 0 for the number of cores",
        }
        /// How many passwords may wait to be hashed until further requests are turned away.
        password_hash_queue: usize = "PASSWORD_HASH_QUEUE" {
            default: Text("128"),
            range: 1..=100_000,
            fix: "set a number of requests, for example 128",
        }
    }
    Lockout {
        /// The wrong password that locks an account, or a device that its owner has signed in on: 30 s for this one, twice as long for each
        /// further one, up to `AUTH_LOCKOUT_DURATION_MINUTES`. Signing in several times at once counts while it lasts.
        auth_lockout_threshold: u32 = "AUTH_LOCKOUT_THRESHOLD" {
            default: Text("5"),
            range: 3..=100,
            fix: "set a number of wrong passwords, for example 5",
        }
        /// After how long without a guess, from the end of the last lock on, an account's locks begin with 30 s again.
        auth_lockout_window: Minutes = "AUTH_LOCKOUT_WINDOW_MINUTES" {
            default: Text("60"),
            range: 1..=10_080,
            fix: "set a number of minutes, for example 60",
        }
        /// The longest that an account is locked for a wrong password.
        auth_lockout_duration: Minutes = "AUTH_LOCKOUT_DURATION_MINUTES" {
            default: Text("60"),
            range: 1..=1_440,
            fix: "set a number of minutes, for example 60",
        }
        /// The wrong password, of all since the last right one, that locks an account until a mail, a new password or an operator unlocks
        /// it. NIST SP 800-63B-4 (3.2.2) allows no more than 100.
        auth_lockout_ceiling: u32 = "AUTH_LOCKOUT_CEILING" {
            default: Text("100"),
            range: 3..=100,
            fix: "set 100 or fewer, and no fewer than AUTH_LOCKOUT_THRESHOLD",
        }
        /// How many wrong passwords one network may try in `AUTH_IP_LOCKOUT_WINDOW_MINUTES`, for whichever accounts: an IPv4 address, or a
        /// /64 of IPv6. They come back evenly. Right passwords count while they are checked.
        auth_ip_lockout_threshold: u32 = "AUTH_IP_LOCKOUT_THRESHOLD" {
            default: Text("50"),
            range: 5..=1_000_000,
            fix: "set a number of wrong passwords, for example 50; more where many people share an address",
        }
        /// How many the networks around it may try together: a /24 of IPv4, a /48 of IPv6.
        auth_subnet_lockout_threshold: u32 = "AUTH_SUBNET_LOCKOUT_THRESHOLD" {
            default: Text("250"),
            range: 5..=10_000_000,
            fix: "set a number of wrong passwords, for example 250, and no fewer than AUTH_IP_LOCKOUT_THRESHOLD",
        }
        /// How long it takes until a network that has used up its wrong passwords has all of them again.
        auth_ip_lockout_window: Minutes = "AUTH_IP_LOCKOUT_WINDOW_MINUTES" {
            default: Text("10"),
            range: 1..=1_440,
            fix: "set a number of minutes, for example 10",
        }
        /// For how many accounts a network may fail, or one password may be wrong, in `AUTH_STUFFING_WINDOW_MINUTES` until it is suspected
        /// of trying out stolen passwords: then each guess counts for a fifth of `AUTH_IP_LOCKOUT_THRESHOLD`.
        auth_stuffing_threshold: u32 = "AUTH_STUFFING_THRESHOLD" {
            default: Text("15"),
            range: 2..=100_000,
            fix: "set a number of accounts, for example 15; more where many people share an address",
        }
        /// How long an account that failed counts toward `AUTH_STUFFING_THRESHOLD`.
        auth_stuffing_window: Minutes = "AUTH_STUFFING_WINDOW_MINUTES" {
            default: Text("180"),
            range: 1..=10_080,
            fix: "set a number of minutes, for example 180",
        }
        /// For how long a device that somebody has signed in on has guesses of its own, so that nobody elsewhere can lock its owner out.
        auth_device_token_ttl: Days = "AUTH_DEVICE_TOKEN_TTL_DAYS" {
            default: Text("180"),
            range: 1..=3_650,
            fix: "set a number of days, for example 180",
        }
    }
    Signup {
        /// Who may register: anybody, the invited, or whoever is approved.
        signup_access_policy: SignupAccessPolicy = "SIGNUP_ACCESS_POLICY" {
            default: Text("public"),
            hardened: Text("invite_only"),
            fix: "use public, invite_only or approval",
        }
    }
    Recovery {
        /// Whether users have to prove their e-mail address before they use the product. Registering answers the same for every address then.
        require_email_verification: bool = "REQUIRE_EMAIL_VERIFICATION" {
            default: Text("false"),
            hardened: Text("true"),
            fix: "use true or false",
        }
        /// How many minutes a mail is good that proves an address, or confirms another one.
        email_verification_token_ttl: Minutes = "EMAIL_VERIFICATION_TOKEN_TTL_MINUTES" {
            default: Text("60"),
            range: 1..=1_440,
            fix: "set a number of minutes, for example 60",
        }
        /// How often an hour such a mail may be asked for, for one address.
        email_verification_email_rate_limit_per_hour: u32 = "EMAIL_VERIFICATION_EMAIL_RATE_LIMIT_PER_HOUR" {
            default: Text("3"),
            range: 1..=1_000,
            fix: "set a number of mails, for example 3",
        }
        /// How often an hour such mails may be asked for from one address of the network, a /64 where it is IPv6.
        email_verification_ip_rate_limit_per_hour: u32 = "EMAIL_VERIFICATION_IP_RATE_LIMIT_PER_HOUR" {
            default: Text("10"),
            range: 1..=100_000,
            fix: "set a number of mails, for example 10",
        }
        /// How many minutes a mail is good that sets a new password.
        password_reset_token_ttl: Minutes = "PASSWORD_RESET_TOKEN_TTL_MINUTES" {
            default: Text("30"),
            range: 1..=1_440,
            fix: "set a number of minutes, for example 30",
        }
        /// How often an hour such a mail may be asked for, for one address.
        password_reset_email_rate_limit_per_hour: u32 = "PASSWORD_RESET_EMAIL_RATE_LIMIT_PER_HOUR" {
            default: Text("5"),
            range: 1..=1_000,
            fix: "set a number of mails, for example 5",
        }
        /// How often an hour such mails may be asked for from one address of the network, a /64 where it is IPv6.
        password_reset_ip_rate_limit_per_hour: u32 = "PASSWORD_RESET_IP_RATE_LIMIT_PER_HOUR" {
            default: Text("20"),
            range: 1..=100_000,
            fix: "set a number of mails, for example 20",
        }
    }
    Agents {
        /// The key for OpenAI's API, or for one that speaks like it. Without it the agents answer from a script.
        openai_api_key: Option<Secret<String>> = "OPENAI_API_KEY" {
            default: Unset,
            rule: "must not be a placeholder",
            fix: "set the key of your OpenAI project, or unset it",
        }
        /// Where that API is, up to and with its version.
        openai_base_url: PublicUrl = "OPENAI_BASE_URL" {
            default: Text("https://api.openai.com/v1"),
            when: ("`OPENAI_API_KEY` is set", |settings| settings.openai_api_key.is_some()),
            fix: "set the URL up to and with its version, for example https://api.openai.com/v1",
        }
        /// The model that agents ask, unless one is set for them below.
        agent_model_default: String = "AGENT_MODEL_DEFAULT" {
            default: Text("gpt-5.1"),
            fix: "set the name of a model",
        }
        /// How many runs of agents one process works on at once; the others wait.
        agent_runs_per_process: usize = "AGENT_RUNS_PER_PROCESS" {
            default: Text("1000"),
            range: 1..=100_000,
            fix: "set a number of runs, for example 1000",
        }
        /// The model of the triage agent. Without it, `AGENT_MODEL_DEFAULT`.
        agent_model_triage: Option<String> = "AGENT_MODEL_TRIAGE" {
            default: Unset,
            fix: "set the name of a model, or unset it",
        }
        /// The model of the code assistant. Without it, `AGENT_MODEL_DEFAULT`.
        agent_model_code: Option<String> = "AGENT_MODEL_CODE" {
            default: Unset,
            fix: "set the name of a model, or unset it",
        }
        /// The model of the data analyst. Without it, `AGENT_MODEL_DEFAULT`.
        agent_model_data: Option<String> = "AGENT_MODEL_DATA" {
            default: Unset,
            fix: "set the name of a model, or unset it",
        }
    }
    Jobs {
        /// For how long a process that is not heard of keeps the jobs that it does; then others do them, and agents' runs are interrupted. It is heard of three times as often.
        job_lease: Seconds = "JOB_LEASE_SECONDS" {
            default: Text("15"),
            range: 1..=3_600,
            fix: "set a number of seconds, for example 15",
        }
    }
    Retention {
        /// For how many days sessions are kept after they ended: they show in the list of sessions until then.
        retention_ended_sessions: Days = "RETENTION_ENDED_SESSIONS_DAYS" {
            default: Text("30"),
            range: 1..=3_650,
            fix: "set a number of days, for example 30",
        }
        /// For how many days dead jobs are kept after they were enqueued.
        retention_dead_jobs: Days = "RETENTION_DEAD_JOBS_DAYS" {
            default: Text("30"),
            range: 1..=3_650,
            fix: "set a number of days, for example 30",
        }
        /// For how many days the events of a run are kept after its end, for who follows it late; the stored answer stays.
        retention_run_events: Days = "RETENTION_RUN_EVENTS_DAYS" {
            default: Text("7"),
            hardened: Text("1"),
            range: 1..=3_650,
            fix: "set a number of days, for example 1",
        }
        /// How many events of a run are kept: the newest. The smallest number is what the longest answer takes.
        retention_run_events_count: u32 = "RETENTION_RUN_EVENTS_COUNT" {
            default: Text("150000"),
            range: 131_073..=10_000_000,
            fix: "set a number of events, for example 150000",
        }
        /// For how many days refused sign-ins that are of no tenant, as those to unknown addresses, stay in the audit log.
        retention_refused_sign_ins: Days = "RETENTION_REFUSED_SIGN_INS_DAYS" {
            default: Text("90"),
            range: 1..=3_650,
            fix: "set a number of days, for example 90",
        }
    }
    Mail {
        /// How mails leave: as files in a folder, by SMTP, or by Resend.
        mail_transport: Option<MailTransport> = "MAIL_TRANSPORT" {
            default: Derived("`resend` where `RESEND_API_KEY` is set, `smtp` where `SMTP_HOST` is, else `folder`"),
            hardened: Derived("`resend` where `RESEND_API_KEY` is set, `smtp` where `SMTP_HOST` is"),
            rule: "must be `folder` by name, if mails shall reach nobody",
            fix: "set RESEND_API_KEY, or SMTP_HOST, or folder if mails shall stay in files on this machine",
        }
        /// Whom mails are from: an address, or a name and an address as in `Acme <post@acme.example>`. Without a name it is `APP_NAME`.
        mail_from: Option<Mailbox> = "MAIL_FROM" {
            default: Derived("`RESEND_DEFAULT_FROM`; without both `no-reply@saas.example`, for the folder alone"),
            fix: "set an address of a domain that your mail service sends for, for example Acme <post@acme.example>",
        }
        /// Where people can ask: mails name it, and answers to them go there.
        mail_support_address: Option<Email> = "MAIL_SUPPORT_ADDRESS" {
            default: Unset,
            fix: "set an e-mail address that somebody reads, or unset it",
        }
        /// The folder that mails are written to, each into a file.
        mail_folder: PathBuf = "MAIL_FOLDER" {
            default: Derived("`<DATA_DIR>/mail`"),
            when: ("mails go to a folder", |settings| settings.mail_transport() == MailTransport::Folder),
            fix: "name a directory that the program may write to",
        }
        /// How long handing a mail to its service may take.
        mail_timeout: Seconds = "MAIL_TIMEOUT_SECONDS" {
            default: Text("30"),
            range: 1..=300,
            when: ("mails go by SMTP or Resend", |settings| settings.mail_transport() != MailTransport::Folder),
            fix: "set a number of seconds, for example 30",
        }
        /// The host of the SMTP server.
        smtp_host: Option<String> = "SMTP_HOST" {
            default: Unset,
            when: ("mails go by SMTP", |settings| settings.mail_transport() == MailTransport::Smtp),
            fix: "set the name of your mail server, for example smtp.example.com",
        }
        /// The port of that server.
        smtp_port: Option<u16> = "SMTP_PORT" {
            default: Derived("587 for `starttls`, 465 for `implicit`, 25 for `none`: see `SMTP_TLS`"),
            range: 1..=65_535,
            when: ("mails go by SMTP", |settings| settings.mail_transport() == MailTransport::Smtp),
            fix: "set a port number, for example 587, or unset it",
        }
        /// How the connection to it is encrypted: after the command STARTTLS, without which no mail is sent; from its first byte; or not
        /// at all, which is for a server on the same machine.
        smtp_tls: SmtpEncryption = "SMTP_TLS" {
            default: Text("starttls"),
            rule: "must not be `none` but for a server on this machine",
            when: ("mails go by SMTP", |settings| settings.mail_transport() == MailTransport::Smtp),
            fix: "use starttls, implicit or none",
        }
        /// Whom the SMTP server knows us as.
        smtp_username: Option<String> = "SMTP_USERNAME" {
            default: Unset,
            when: ("mails go by SMTP", |settings| settings.mail_transport() == MailTransport::Smtp),
            fix: "set the user name and SMTP_PASSWORD, or unset both",
        }
        /// The password that goes with it.
        smtp_password: Option<Secret<String>> = "SMTP_PASSWORD" {
            default: Unset,
            rule: "must not be a placeholder",
            when: ("mails go by SMTP", |settings| settings.mail_transport() == MailTransport::Smtp),
            fix: "set the password of SMTP_USERNAME, or unset both",
        }
        /// The key for Resend's API.
        resend_api_key: Option<Secret<String>> = "RESEND_API_KEY" {
            default: Unset,
            rule: "must not be a placeholder",
            when: ("mails go by Resend", |settings| settings.mail_transport() == MailTransport::Resend),
            fix: "set a key of your Resend team that may send, or unset it",
        }
        /// Where the API of Resend is.
        resend_base_url: PublicUrl = "RESEND_BASE_URL" {
            default: Text("https://api.resend.com"),
            rule: "must begin with https://",
            when: ("mails go by Resend", |settings| settings.mail_transport() == MailTransport::Resend),
            fix: "set the address of the API, https://api.resend.com, or unset it",
        }
        /// Whom mails are from where `MAIL_FROM` does not say.
        resend_default_from: Option<Mailbox> = "RESEND_DEFAULT_FROM" {
            default: Unset,
            when: ("`MAIL_FROM` is not set", |settings| settings.mail_from.is_none()),
            fix: "set MAIL_FROM instead, or an address of a domain that Resend sends for",
        }
        /// A template at Resend for the mail that confirms an address, by its id or alias; its variables are `link`, `token`, `expires_at`
        /// and `app_name`. Without it the mail is ours.
        resend_email_verification_template_id: Option<String> = "RESEND_EMAIL_VERIFICATION_TEMPLATE_ID" {
            default: Unset,
            when: ("mails go by Resend", |settings| settings.mail_transport() == MailTransport::Resend),
            fix: "set the id of a published template, or unset it",
        }
        /// A template at Resend for the mail that lets somebody set a new password, with the same variables. Without it the mail is ours.
        resend_password_reset_template_id: Option<String> = "RESEND_PASSWORD_RESET_TEMPLATE_ID" {
            default: Unset,
            when: ("mails go by Resend", |settings| settings.mail_transport() == MailTransport::Resend),
            fix: "set the id of a published template, or unset it",
        }
    }
    Logging {
        /// What is logged: a level, or levels by module as in `info,saas_auth=debug`.
        log_level: LogLevel = "LOG_LEVEL" {
            default: Text("info"),
            fix: "use off, error, warn, info, debug or trace, alone or as <module>=<level>, separated by commas",
        }
        /// How log lines look: for people, for machines, or whichever suits where they go.
        log_format: LogFormat = "LOG_FORMAT" {
            default: Text("auto"),
            fix: "use auto, pretty or json",
        }
    }
    Metrics {
        /// An address that serves the operations alone, `/metrics` among them; the main one then has no `/metrics`. Without it
        /// `/metrics` is on the main address: open in development and test, and elsewhere there only under a `METRICS_TOKEN`.
        metrics_address: Option<SocketAddr> = "METRICS_ADDRESS" {
            default: Unset,
            fix: "set an IP address and a port that only your Prometheus reaches, for example 127.0.0.1:9100, or unset it",
        }
        /// What `/metrics` asks for as `Authorization: Bearer <token>`, wherever it is served.
        metrics_token: Option<Secret<String>> = "METRICS_TOKEN" {
            default: Unset,
            rule: "must have at least 32 characters and not be a placeholder",
            fix: "set the output of `openssl rand -hex 32`, and the same in your Prometheus, or unset it",
        }
    }
}
