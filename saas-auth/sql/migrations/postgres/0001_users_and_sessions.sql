CREATE TABLE saas_users (
    id uuid NOT NULL PRIMARY KEY,
    email text NOT NULL,
    email_shown text NOT NULL,
    display_name text,
    status text NOT NULL,
    password_hash text,
    email_verified_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX saas_users_email ON saas_users (email);

CREATE TABLE saas_sessions (
    id uuid NOT NULL PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES saas_users (id) ON DELETE CASCADE,
    tenant_id uuid NOT NULL,
    version bigint NOT NULL,
    client_id text NOT NULL,
    key_id text NOT NULL,
    salt bytea NOT NULL,
    generation bigint NOT NULL,
    rotated_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    idle_expires_at timestamptz NOT NULL,
    absolute_expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text,
    platform text,
    browser text,
    device text,
    user_agent text,
    ip_masked text,
    fingerprint text
);
CREATE INDEX saas_sessions_user ON saas_sessions (user_id, last_seen_at, id);
