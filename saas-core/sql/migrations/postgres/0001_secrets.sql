CREATE TABLE saas_secrets (
    name text NOT NULL PRIMARY KEY,
    version bigint NOT NULL,
    nonce bytea NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE saas_deployment (
    name text NOT NULL PRIMARY KEY,
    value text NOT NULL,
    created_at timestamptz NOT NULL
);
