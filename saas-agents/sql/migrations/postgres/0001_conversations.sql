CREATE TABLE saas_conversations (
    id uuid NOT NULL PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    key text NOT NULL,
    title text,
    agent text NOT NULL,
    message_count bigint NOT NULL,
    preview text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX saas_conversations_key ON saas_conversations (tenant_id, key);
CREATE INDEX saas_conversations_owner ON saas_conversations (tenant_id, user_id, updated_at, id);

CREATE TABLE saas_messages (
    conversation_id uuid NOT NULL REFERENCES saas_conversations (id) ON DELETE CASCADE,
    position bigint NOT NULL,
    speaker text NOT NULL,
    body text NOT NULL,
    partial boolean NOT NULL,
    run_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, position)
);

-- What the model remembers: items of its own API, kept byte for byte and never queried.
CREATE TABLE saas_memory_items (
    conversation_id uuid NOT NULL REFERENCES saas_conversations (id) ON DELETE CASCADE,
    message_position bigint NOT NULL,
    item_index bigint NOT NULL,
    item text NOT NULL,
    PRIMARY KEY (conversation_id, message_position, item_index)
);

CREATE TABLE saas_runs (
    id uuid NOT NULL PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    conversation_id uuid NOT NULL REFERENCES saas_conversations (id) ON DELETE CASCADE,
    position bigint NOT NULL,
    agent text NOT NULL,
    model text,
    status text NOT NULL,
    input text NOT NULL,
    idempotency_key text,
    request_hash bytea NOT NULL,
    attempt bigint NOT NULL,
    owner text,
    leased_until timestamptz,
    cancel_requested boolean NOT NULL,
    answer text NOT NULL,
    error text,
    final_seq bigint,
    input_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE UNIQUE INDEX saas_runs_position ON saas_runs (conversation_id, position);
CREATE UNIQUE INDEX saas_runs_idempotency ON saas_runs (tenant_id, user_id, idempotency_key);
CREATE UNIQUE INDEX saas_runs_running ON saas_runs (conversation_id) WHERE status = 'running';
CREATE INDEX saas_runs_lease ON saas_runs (leased_until) WHERE status = 'running';
CREATE INDEX saas_runs_queue ON saas_runs (conversation_id, position) WHERE status = 'queued';
CREATE INDEX saas_runs_owner ON saas_runs (owner) WHERE status = 'running';
