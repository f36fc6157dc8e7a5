CREATE TABLE saas_secrets (
    name text NOT NULL PRIMARY KEY,
    version integer NOT NULL,
    nonce blob NOT NULL,
    sealed blob NOT NULL,
    created_at text NOT NULL,
    updated_at text NOT NULL
) STRICT;

CREATE TABLE saas_deployment (
    name text NOT NULL PRIMARY KEY,
    value text NOT NULL,
    created_at text NOT NULL
) STRICT;
