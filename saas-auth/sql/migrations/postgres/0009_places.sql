-- Where a session's address is, in words and encrypted for its row.
ALTER TABLE saas_sessions ADD COLUMN place_envelope bytea;
