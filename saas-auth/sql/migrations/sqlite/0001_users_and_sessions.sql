CREATE TABLE saas_users (
    id blob NOT NULL PRIMARY KEY,
    email text NOT NULL,
    email_shown text NOT NULL,
    display_name text,
    status text NOT NULL,
    password_hash text,
    email_verified_at text,
    created_at text NOT NULL,
    updated_at text NOT NULL
) STRICT;
CREATE UNIQUE INDEX saas_users_email ON saas_users (email);

CREATE TABLE saas_sessions (
    id blob NOT NULL PRIMARY KEY,
    user_id blob NOT NULL REFERENCES saas_users (id) ON DELETE CASCADE,
    tenant_id blob NOT NULL,
    version integer NOT NULL,
    client_id text NOT NULL,
    key_id text NOT NULL,
    salt blob NOT NULL,
    generation integer NOT NULL,
    rotated_at text NOT NULL,
    created_at text NOT NULL,
    last_seen_at text NOT NULL,
    idle_expires_at text NOT NULL,
    absolute_expires_at text NOT NULL,
    revoked_at text,
    revoked_reason text,
    platform text,
    browser text,
    device text,
    user_agent text,
    ip_masked text,
    fingerprint text
) STRICT;
CREATE INDEX saas_sessions_user ON saas_sessions (user_id, last_seen_at, id);
