-- The audit log. A row is recorded in its command's transaction, and gets its place in its tenant's chain afterwards. The nil UUID is the
-- platform. Times are microseconds since 1970: whoever verifies a row reads them whatever was made of it.
CREATE TABLE saas_audit (
    id uuid NOT NULL PRIMARY KEY,
    tenant_id uuid NOT NULL,
    version bigint NOT NULL,
    at_us bigint NOT NULL,
    actor text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    subject text COLLATE "C",
    outcome text NOT NULL,
    reason text,
    request_id uuid,
    key_id text NOT NULL,
    mac bytea NOT NULL,
    position bigint,
    previous_hash bytea,
    hash bytea,
    seal_key_id text,
    seal_mac bytea
);
CREATE INDEX saas_audit_tenant ON saas_audit (tenant_id, id);
CREATE INDEX saas_audit_actor ON saas_audit (actor, id);
CREATE INDEX saas_audit_subject ON saas_audit (subject, id) WHERE subject IS NOT NULL;
CREATE INDEX saas_audit_action ON saas_audit (action, id);
CREATE INDEX saas_audit_unsealed ON saas_audit (tenant_id, id) WHERE position IS NULL;
-- Not unique: who verifies has to find two rows with one position, and a seal is given under the lock of the head.
CREATE INDEX saas_audit_sealed ON saas_audit (tenant_id, position, id) WHERE position IS NOT NULL;

-- Where each chain ends, and what was purged of its beginning. It stays when the chain is purged.
CREATE TABLE saas_audit_heads (
    tenant_id uuid NOT NULL PRIMARY KEY,
    count bigint NOT NULL,
    hash bytea NOT NULL,
    purged_count bigint NOT NULL,
    purged_hash bytea NOT NULL,
    purged_at_us bigint,
    key_id text NOT NULL,
    mac bytea NOT NULL
);
