-- When a user's password was found among stolen ones; setting another one lifts it.
ALTER TABLE saas_users ADD COLUMN password_compromised_at text;
-- What they had before, as far as the policy looks back.
CREATE TABLE saas_password_history (
    id blob NOT NULL PRIMARY KEY,
    user_id blob NOT NULL REFERENCES saas_users (id) ON DELETE CASCADE,
    password_hash text NOT NULL,
    replaced_at text NOT NULL
) STRICT;
CREATE INDEX saas_password_history_user ON saas_password_history (user_id, id);
