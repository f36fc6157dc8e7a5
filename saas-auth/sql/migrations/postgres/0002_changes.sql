CREATE TABLE saas_changes (
    id uuid NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    subject_id uuid NOT NULL,
    noted_at timestamptz NOT NULL
);
CREATE INDEX saas_changes_noted ON saas_changes (noted_at, id);
