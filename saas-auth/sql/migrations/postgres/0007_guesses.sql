-- Wrong guesses, under keyed hashes of what they were for: a row tells nothing of an address that has no account.
CREATE TABLE saas_sign_in_guesses (
    id bytea NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    user_id uuid REFERENCES saas_users (id) ON DELETE CASCADE,
    failures bigint NOT NULL,
    consecutive bigint NOT NULL,
    open_from timestamptz NOT NULL,
    told_until timestamptz,
    expires_at timestamptz
);
CREATE INDEX saas_sign_in_guesses_user ON saas_sign_in_guesses (user_id, id);
CREATE INDEX saas_sign_in_guesses_expiry ON saas_sign_in_guesses (expires_at);

-- Before when the devices are forgotten that a user signed in on.
CREATE TABLE saas_forgotten_devices (
    user_id uuid NOT NULL PRIMARY KEY REFERENCES saas_users (id) ON DELETE CASCADE,
    forgotten_at timestamptz NOT NULL
);
