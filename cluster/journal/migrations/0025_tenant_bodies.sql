-- Tenants that keep bodies for a shorter time than the settings say (cluster/journal/tenant_bodies.py).

CREATE INDEX tenants_keeping_less ON tenants (id) WHERE settings ? 'bodies_days';

-- Up to which message each of them was looked through, and before which day its files went. Its messages are looked at
-- again before that (looked_again).
CREATE TABLE tenant_bodies (
    tenant_id     text COLLATE "C" PRIMARY KEY,
    looked_upto   text COLLATE "C" NOT NULL DEFAULT '',
    looked_again  date,
    files_before  date
);

-- Messages that were unfinished then, and are looked at again.
CREATE TABLE tenant_bodies_waiting (
    tenant_id     text COLLATE "C" NOT NULL,
    message_id    text COLLATE "C" NOT NULL,
    look_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
);
CREATE INDEX tenant_bodies_waiting_due ON tenant_bodies_waiting (look_at);
