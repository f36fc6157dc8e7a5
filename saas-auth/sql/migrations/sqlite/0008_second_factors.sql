CREATE TABLE saas_second_factors (
    user_id blob NOT NULL PRIMARY KEY REFERENCES saas_users (id) ON DELETE CASCADE,
    seed_envelope blob NOT NULL,
    created_at text NOT NULL,
    confirmed_at text,
    last_step integer NOT NULL
) STRICT;

CREATE TABLE saas_recovery_codes (
    user_id blob NOT NULL REFERENCES saas_users (id) ON DELETE CASCADE,
    code_hash blob NOT NULL,
    created_at text NOT NULL,
    PRIMARY KEY (user_id, code_hash)
) STRICT;

CREATE TABLE saas_sign_in_challenges (
    id blob NOT NULL PRIMARY KEY,
    user_id blob NOT NULL REFERENCES saas_users (id) ON DELETE CASCADE,
    attempts integer NOT NULL,
    created_at text NOT NULL,
    expires_at text NOT NULL
) STRICT;
CREATE INDEX saas_sign_in_challenges_expires ON saas_sign_in_challenges (expires_at, id);
CREATE INDEX saas_sign_in_challenges_user ON saas_sign_in_challenges (user_id);

-- Earlier releases know of passwords alone, and a session of theirs was authenticated when it began.
ALTER TABLE saas_sessions ADD COLUMN authenticated_at text;
ALTER TABLE saas_sessions ADD COLUMN methods text NOT NULL DEFAULT 'pwd';
ALTER TABLE saas_sessions ADD COLUMN guesses integer NOT NULL DEFAULT 0;
