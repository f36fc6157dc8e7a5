-- A user has one token of each purpose, and a newer one takes its place; undos alone stand beside each other. A row without a user is what
-- asking for an address that nobody has leaves behind, so that it costs what asking for any other does.
CREATE TABLE saas_one_time_tokens (
    id uuid NOT NULL PRIMARY KEY,
    user_id uuid REFERENCES saas_users (id) ON DELETE CASCADE,
    purpose text NOT NULL,
    address_hash bytea NOT NULL,
    address_envelope bytea,
    key_id text NOT NULL,
    hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE UNIQUE INDEX saas_one_time_tokens_live ON saas_one_time_tokens (user_id, purpose) WHERE purpose <> 'email_change_undo';
CREATE INDEX saas_one_time_tokens_user ON saas_one_time_tokens (user_id, id);
CREATE INDEX saas_one_time_tokens_expires ON saas_one_time_tokens (expires_at);
