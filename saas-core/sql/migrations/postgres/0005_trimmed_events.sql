-- Up to which number the events of a topic were trimmed, for who reads from before it. Rows live as long as their topic: whoever removes
-- that removes them (`EventLog::remove`).
CREATE TABLE saas_event_trims (
    topic text COLLATE "C" PRIMARY KEY,
    trimmed bigint NOT NULL CHECK (trimmed > 0)
);
