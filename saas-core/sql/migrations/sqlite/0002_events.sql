-- Event streams, one per topic. Rows live as long as the thing that the topic belongs to: its owner removes them (`EventLog::remove`).
CREATE TABLE saas_events (
    topic text NOT NULL,
    seq integer NOT NULL CHECK (seq > 0),
    data text NOT NULL,
    created_at text NOT NULL,
    PRIMARY KEY (topic, seq)
) STRICT, WITHOUT ROWID;
