CREATE TABLE saas_second_factors (
    user_id uuid NOT NULL PRIMARY KEY REFERENCES saas_users (id) ON DELETE CASCADE,
    seed_envelope bytea NOT NULL,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL
);

CREATE TABLE saas_recovery_codes (
    user_id uuid NOT NULL REFERENCES saas_users (id) ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, code_hash)
);

CREATE TABLE saas_sign_in_challenges (
    id uuid NOT NULL PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES saas_users (id) ON DELETE CASCADE,
    attempts bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX saas_sign_in_challenges_expires ON saas_sign_in_challenges (expires_at, id);
CREATE INDEX saas_sign_in_challenges_user ON saas_sign_in_challenges (user_id);

-- Earlier releases know of passwords alone, and a session of theirs was authenticated when it began.
ALTER TABLE saas_sessions ADD COLUMN authenticated_at timestamptz;
ALTER TABLE saas_sessions ADD COLUMN methods text NOT NULL DEFAULT 'pwd';
ALTER TABLE saas_sessions ADD COLUMN guesses bigint NOT NULL DEFAULT 0;
