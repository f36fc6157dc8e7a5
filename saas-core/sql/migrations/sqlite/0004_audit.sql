-- The audit log. A row is recorded in its command's transaction, and gets its place in its tenant's chain afterwards. The nil UUID is the
-- platform. Times are microseconds since 1970: whoever verifies a row reads them whatever was made of it.
CREATE TABLE saas_audit (
    id blob NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id blob NOT NULL CHECK (length(tenant_id) = 16),
    version integer NOT NULL,
    at_us integer NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text,
    outcome text NOT NULL,
    reason text,
    request_id blob CHECK (length(request_id) = 16),
    key_id text NOT NULL,
    mac blob NOT NULL,
    position integer,
    previous_hash blob,
    hash blob,
    seal_key_id text,
    seal_mac blob
) STRICT;
CREATE INDEX saas_audit_tenant ON saas_audit (tenant_id, id);
CREATE INDEX saas_audit_actor ON saas_audit (actor, id);
CREATE INDEX saas_audit_subject ON saas_audit (subject, id) WHERE subject IS NOT NULL;
CREATE INDEX saas_audit_action ON saas_audit (action, id);
CREATE INDEX saas_audit_unsealed ON saas_audit (tenant_id, id) WHERE position IS NULL;
-- Not unique: who verifies has to find two rows with one position, and a seal is given under the lock of the head.
CREATE INDEX saas_audit_sealed ON saas_audit (tenant_id, position, id) WHERE position IS NOT NULL;

-- Where each chain ends, and what was purged of its beginning. It stays when the chain is purged.
CREATE TABLE saas_audit_heads (
    tenant_id blob NOT NULL PRIMARY KEY CHECK (length(tenant_id) = 16),
    count integer NOT NULL,
    hash blob NOT NULL,
    purged_count integer NOT NULL,
    purged_hash blob NOT NULL,
    purged_at_us integer,
    key_id text NOT NULL,
    mac blob NOT NULL
) STRICT;
