CREATE TABLE saas_tenants (
    id blob NOT NULL PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    created_at text NOT NULL,
    updated_at text NOT NULL
) STRICT;
CREATE UNIQUE INDEX saas_tenants_slug ON saas_tenants (slug);

CREATE TABLE saas_memberships (
    tenant_id blob NOT NULL REFERENCES saas_tenants (id) ON DELETE CASCADE,
    user_id blob NOT NULL REFERENCES saas_users (id) ON DELETE CASCADE,
    role text NOT NULL,
    created_at text NOT NULL,
    updated_at text NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) STRICT;
CREATE INDEX saas_memberships_user ON saas_memberships (user_id, created_at);
