-- Wrong guesses, under keyed hashes of what they were for: a row tells nothing of an address that has no account.
CREATE TABLE saas_sign_in_guesses (
    id blob NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    user_id blob REFERENCES saas_users (id) ON DELETE CASCADE,
    failures integer NOT NULL,
    consecutive integer NOT NULL,
    open_from text NOT NULL,
    told_until text,
    expires_at text
) STRICT;
CREATE INDEX saas_sign_in_guesses_user ON saas_sign_in_guesses (user_id, id);
CREATE INDEX saas_sign_in_guesses_expiry ON saas_sign_in_guesses (expires_at);

-- Before when the devices are forgotten that a user signed in on.
CREATE TABLE saas_forgotten_devices (
    user_id blob NOT NULL PRIMARY KEY REFERENCES saas_users (id) ON DELETE CASCADE,
    forgotten_at text NOT NULL
) STRICT;
