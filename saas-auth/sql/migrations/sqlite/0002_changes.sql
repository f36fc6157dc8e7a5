CREATE TABLE saas_changes (
    id blob NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    subject_id blob NOT NULL,
    noted_at text NOT NULL
) STRICT;
CREATE INDEX saas_changes_noted ON saas_changes (noted_at, id);
