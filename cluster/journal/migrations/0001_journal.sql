-- Tenants, their keys and their sender domains.

CREATE TABLE tenants (
    id          text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    prefix      text NOT NULL,               -- what a list may show of the secret
    hash        bytea NOT NULL UNIQUE,       -- SHA-256 of the secret
    scopes      text[] NOT NULL,
    sandbox     boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);

CREATE TABLE sender_domains (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants,
    domain      text NOT NULL,
    verified_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, domain)
);

CREATE TABLE dkim_keys (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id          bigint NOT NULL REFERENCES sender_domains ON DELETE CASCADE,
    selector           text NOT NULL,
    public_key         text NOT NULL,        -- the p= value, base64 (RFC 6376 §3.6.1)
    sealed_private_key bytea NOT NULL,       -- encrypted, cluster/vault.py
    active             boolean NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (domain_id, selector)
);

-- What was accepted. These tables are append-mostly: a message's way is told by deliveries and outcomes.

CREATE TABLE batches (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE requests (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    created_at  timestamptz NOT NULL,
    template_id text,
    categories  text[] NOT NULL,
    content     bytea NOT NULL               -- records.Content: what the request's messages share
);

CREATE TABLE attachments (
    sha256      bytea PRIMARY KEY,
    content     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE attachments ALTER COLUMN content SET STORAGE EXTERNAL;   -- mostly compressed already

CREATE TABLE messages (
    tenant_id   text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    request_id  text COLLATE "C" NOT NULL,
    batch_id    text COLLATE "C",
    created_at  timestamptz NOT NULL,
    send_at     timestamptz,
    from_email  text NOT NULL,
    to_emails   text[] NOT NULL,
    subject     text NOT NULL,
    personal    bytea NOT NULL,              -- records.Personal: what the message has of its own
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX messages_of_batch ON messages (batch_id, id) WHERE batch_id IS NOT NULL;

-- The queue: a row per unfinished delivery (one recipient of one message), small and hot.

-- In the order of the fold (policy/lifecycle.py): the least of a message's recipients is the message's status.
CREATE TYPE delivery_status AS ENUM (
    'queued', 'processing', 'rendered', 'sending',
    'delivered', 'sent', 'bounced', 'failed', 'cancelled', 'sandbox'
);

CREATE TABLE deliveries (
    message_id    text COLLATE "C" NOT NULL,
    recipient_no  integer NOT NULL,
    tenant_id     text COLLATE "C" NOT NULL,
    batch_id      text COLLATE "C",
    domain        text COLLATE "C" NOT NULL, -- of the recipient, A-labels
    recipient     text NOT NULL,
    status        delivery_status NOT NULL DEFAULT 'queued',
    due_at        timestamptz NOT NULL,      -- when the scheduler must look at it: due, or its lease is over
    expires_at    timestamptz NOT NULL,
    attempts      integer NOT NULL DEFAULT 0,
    owner         bigint,                    -- epoch of the delivery actor that holds it
    alone         boolean NOT NULL,          -- the only recipient of its message
    error_message text,                      -- why the last attempt failed
    PRIMARY KEY (message_id, recipient_no)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_due ON deliveries (due_at);
CREATE INDEX deliveries_of_owner ON deliveries (owner) WHERE owner IS NOT NULL;
CREATE INDEX deliveries_held_of_batch ON deliveries (batch_id)
    WHERE batch_id IS NOT NULL AND status IN ('processing', 'rendered', 'sending');

-- How a message ended: a row per finished message.
CREATE TABLE outcomes (
    tenant_id     text COLLATE "C" NOT NULL,
    message_id    text COLLATE "C" NOT NULL,
    status        delivery_status NOT NULL,
    finished_at   timestamptz NOT NULL,
    retry_count   integer NOT NULL,
    error_message text,
    PRIMARY KEY (tenant_id, message_id)
);
CREATE INDEX outcomes_by_status ON outcomes (tenant_id, status, message_id);

-- Counts of a batch, kept in the transactions that change them. One writer a shard, so nobody waits for a row.
-- status NULL counts the messages accepted.
CREATE TABLE batch_tallies (
    batch_id    text COLLATE "C" NOT NULL,
    shard       text COLLATE "C" NOT NULL,
    status      delivery_status,
    messages    bigint NOT NULL,
    last_at     timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (batch_id, shard, status)
);

-- The event log. A reader takes rows in the order (tx, id), and only those of transactions older than any still
-- running: ids alone become visible out of order.
CREATE TABLE event_log (
    tx          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id          bigint GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL DEFAULT now(),
    events      bytea NOT NULL,              -- analytics/events.py, a batch
    PRIMARY KEY (tx, id)
);
ALTER TABLE event_log ALTER COLUMN events SET STORAGE EXTERNAL;

CREATE TABLE log_cursors (
    consumer    text PRIMARY KEY,
    tx          xid8 NOT NULL DEFAULT '0',
    id          bigint NOT NULL DEFAULT 0,
    moved_at    timestamptz NOT NULL DEFAULT now()
);
INSERT INTO log_cursors (consumer) VALUES ('recorder');

-- The delivery actors. A new life of an actor gets a new epoch; what it held under the old one is taken back.
CREATE SEQUENCE delivery_epochs;
CREATE TABLE delivery_actors (
    name        text PRIMARY KEY,
    epoch       bigint NOT NULL,
    node_id     text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);
