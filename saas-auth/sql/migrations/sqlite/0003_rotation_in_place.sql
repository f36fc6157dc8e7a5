-- A rotation moves last_seen_at: while an index holds it, that is written anew as well. A user's sessions are counted whenever they are
-- listed; sorting them costs no more.
DROP INDEX saas_sessions_user;
CREATE INDEX saas_sessions_user ON saas_sessions (user_id, id);
