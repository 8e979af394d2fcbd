-- Webhooks: the endpoints that tenants' events are posted to, what each is still owed, and how it answers.

-- What the events that are posted say of a message, apart from its bodies, which may be large. NULL in requests from
-- before it was kept. Endpoints can ask for the events of one API key.
ALTER TABLE requests
    ADD COLUMN key_id   text COLLATE "C",         -- the API key or token that sent it
    ADD COLUMN group_id integer,                  -- the unsubscribe group of its messages
    ADD COLUMN told     bytea;                    -- cluster/webhooks/told.py, of all its messages
ALTER TABLE messages ADD COLUMN told bytea;       -- the same of one message

CREATE TABLE webhooks (
    id              text COLLATE "C" PRIMARY KEY,
    number          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    tenant_id       text COLLATE "C" NOT NULL REFERENCES tenants,
    dialect         text NOT NULL CHECK (dialect IN ('postray', 'sendgrid')),
    name            text NOT NULL DEFAULT '',
    url             text NOT NULL,
    events          text[] NOT NULL,              -- names of events; {*}: all
    categories      text[] NOT NULL DEFAULT '{}', -- only events of messages with one of these; {}: of all
    key_ids         text[] NOT NULL DEFAULT '{}', -- only events of messages that one of these API keys sent; {}: of all
    is_batch        boolean NOT NULL DEFAULT false,
    is_standard     boolean NOT NULL DEFAULT false,
    is_enabled      boolean NOT NULL DEFAULT true,  -- by its owner: events of the time in which it is not are not owed
    is_paused       boolean NOT NULL DEFAULT false, -- by its owner: events wait
    sealed_secret   bytea,                        -- of HMAC, or the private key of ECDSA; encrypted, cluster/vault.py
    sealed_former   bytea,                        -- the secret before the last rotation, valid until former_until
    former_until    timestamptz,
    public_key      text NOT NULL DEFAULT '',     -- of ECDSA, DER in base64
    sealed_oauth    bytea,                        -- what access tokens are asked for with, a JSON object; encrypted
    notify_email    text NOT NULL DEFAULT '',     -- who is told when it is disabled
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhooks_of_tenant ON webhooks (tenant_id, id);

-- How an endpoint answers. Changes often, so it is apart.
CREATE TABLE webhook_states (
    webhook_id      text COLLATE "C" PRIMARY KEY REFERENCES webhooks ON DELETE CASCADE,
    failures        integer NOT NULL DEFAULT 0,   -- in a row
    failed_since    timestamptz,
    failed_at       timestamptz,                  -- when the last of these posts ended
    next_at         timestamptz,                  -- nothing is posted before: the next probe, or its own Retry-After
    disabled_at     timestamptz,                  -- because it failed; its events wait until its owner enables it
    disabled_reason text NOT NULL DEFAULT '',
    is_untold       boolean NOT NULL DEFAULT false, -- the mail that it is disabled is still to be sent
    last_at         timestamptz,
    last_status     integer,                      -- of the last answer; NULL where there was none
    last_error      text NOT NULL DEFAULT '',
    last_ms         integer NOT NULL DEFAULT 0,
    rate            real NOT NULL DEFAULT 0,      -- events a second, over the last minute with posts
    posted          bigint NOT NULL DEFAULT 0,    -- events
    dropped         bigint NOT NULL DEFAULT 0     -- events that waited too long or were too many
) WITH (fillfactor = 50);

-- A change of an endpoint, so that processes need not read them all to notice one.
-- A row and no sequence: the number is seen when the change is, not before it is committed.
CREATE TABLE webhooks_version (version bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO webhooks_version VALUES (0);
CREATE FUNCTION webhooks_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhooks_version SET version = version + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER webhooks_changed AFTER INSERT OR UPDATE OR DELETE ON webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION webhooks_changed();

-- What endpoints are owed: a bundle of events that came together. Under a lease while it is posted.
CREATE TABLE webhook_bundles (
    webhook_id  text COLLATE "C" NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    events      bytea NOT NULL,                   -- cluster/webhooks/bundles.py
    count       integer NOT NULL,                 -- of events
    since       timestamptz NOT NULL DEFAULT now(), -- how long it waits, across its posts
    attempts    integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT now(), -- while it is leased: when the lease ends
    lease       bigint,                           -- the life of the process that posts it
    PRIMARY KEY (webhook_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE webhook_bundles ALTER COLUMN events SET STORAGE EXTERNAL;
CREATE INDEX webhook_bundles_due ON webhook_bundles (webhook_id, due_at, id);
CREATE SEQUENCE webhook_leases;                   -- a number for each life of the process

-- Events of the past that an endpoint is to get again.
CREATE TABLE webhook_replays (
    id          text COLLATE "C" PRIMARY KEY,
    webhook_id  text COLLATE "C" NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    filters     jsonb NOT NULL,                   -- ReplayFilter in cluster/journal/webhook_replays.py
    position    text NOT NULL DEFAULT '',         -- how far it is
    end_tx      xid8 NOT NULL DEFAULT '0',        -- the end of the event log when it was asked for:
    end_id      bigint NOT NULL DEFAULT 0,        -- it is done once the recorder has passed it
    events      bigint NOT NULL DEFAULT 0,        -- found so far
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    error       text NOT NULL DEFAULT ''          -- why it ended before it was done
);
CREATE INDEX webhook_replays_pending ON webhook_replays (id) WHERE finished_at IS NULL;
CREATE INDEX webhook_replays_of_webhook ON webhook_replays (webhook_id, id);
