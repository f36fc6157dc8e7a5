-- Work that commands left behind. A row lives until its job is done; a dead one until an operator revives or cancels it.
CREATE TABLE saas_jobs (
    id uuid NOT NULL PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    payload text NOT NULL,
    tenant_id uuid,
    unique_key text COLLATE "C",
    state text NOT NULL,
    attempt bigint NOT NULL,
    max_attempts bigint NOT NULL,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    owner text COLLATE "C",
    error text
);
-- While it runs, a job is due when its lease ends.
CREATE INDEX saas_jobs_due ON saas_jobs (kind, due_at, id) WHERE state <> 'dead';
CREATE INDEX saas_jobs_owner ON saas_jobs (owner) WHERE owner IS NOT NULL;
CREATE UNIQUE INDEX saas_jobs_unique ON saas_jobs (kind, unique_key) WHERE unique_key IS NOT NULL;

-- What is enqueued again and again: one row for each name that a program has.
CREATE TABLE saas_schedules (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    next_at timestamptz NOT NULL
);
