CREATE TABLE saas_conversations (
    id blob NOT NULL PRIMARY KEY,
    tenant_id blob NOT NULL,
    user_id blob NOT NULL,
    key text NOT NULL,
    title text,
    agent text NOT NULL,
    message_count integer NOT NULL,
    preview text NOT NULL,
    created_at text NOT NULL,
    updated_at text NOT NULL
) STRICT;
CREATE UNIQUE INDEX saas_conversations_key ON saas_conversations (tenant_id, key);
CREATE INDEX saas_conversations_owner ON saas_conversations (tenant_id, user_id, updated_at, id);

CREATE TABLE saas_messages (
    conversation_id blob NOT NULL REFERENCES saas_conversations (id) ON DELETE CASCADE,
    position integer NOT NULL,
    speaker text NOT NULL,
    body text NOT NULL,
    partial integer NOT NULL,
    run_id blob NOT NULL,
    created_at text NOT NULL,
    PRIMARY KEY (conversation_id, position)
) STRICT;

-- What the model remembers: items of its own API, kept byte for byte and never queried.
CREATE TABLE saas_memory_items (
    conversation_id blob NOT NULL REFERENCES saas_conversations (id) ON DELETE CASCADE,
    message_position integer NOT NULL,
    item_index integer NOT NULL,
    item text NOT NULL,
    PRIMARY KEY (conversation_id, message_position, item_index)
) STRICT;

CREATE TABLE saas_runs (
    id blob NOT NULL PRIMARY KEY,
    tenant_id blob NOT NULL,
    user_id blob NOT NULL,
    conversation_id blob NOT NULL REFERENCES saas_conversations (id) ON DELETE CASCADE,
    position integer NOT NULL,
    agent text NOT NULL,
    model text,
    status text NOT NULL,
    input text NOT NULL,
    idempotency_key text,
    request_hash blob NOT NULL,
    attempt integer NOT NULL,
    owner text,
    leased_until text,
    cancel_requested integer NOT NULL,
    answer text NOT NULL,
    error text,
    final_seq integer,
    input_tokens integer NOT NULL,
    cached_input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    reasoning_tokens integer NOT NULL,
    created_at text NOT NULL,
    finished_at text
) STRICT;
CREATE UNIQUE INDEX saas_runs_position ON saas_runs (conversation_id, position);
CREATE UNIQUE INDEX saas_runs_idempotency ON saas_runs (tenant_id, user_id, idempotency_key);
CREATE UNIQUE INDEX saas_runs_running ON saas_runs (conversation_id) WHERE status = 'running';
CREATE INDEX saas_runs_lease ON saas_runs (leased_until) WHERE status = 'running';
CREATE INDEX saas_runs_queue ON saas_runs (conversation_id, position) WHERE status = 'queued';
CREATE INDEX saas_runs_owner ON saas_runs (owner) WHERE status = 'running';
