-- Suppression lists, unsubscribe groups, and the keys of the tokens in tracked mail.

-- Tokens name a tenant by its number, which is short.
ALTER TABLE tenants ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX tenants_by_number ON tenants (number);

-- The keys of tokens (cluster/tracking/tokens.py). None is ever deleted: mail of any age keeps its links. The newest
-- signs.
CREATE TABLE token_keys (
    id          smallint PRIMARY KEY CHECK (id BETWEEN 1 AND 255),
    sealed_key  bytea NOT NULL,              -- 32 bytes, encrypted, cluster/vault.py
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Who has seen which image of the library in a message: only the first fetch is an open.
CREATE TABLE image_opens (
    tenant_id    text COLLATE "C" NOT NULL,
    message_id   text COLLATE "C" NOT NULL,
    recipient_no integer NOT NULL,
    image        text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, message_id, recipient_no, image)
);

CREATE TABLE suppression_groups (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    description text NOT NULL,
    is_default  boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);

-- In the order in which they are named as the reason. Blocks suppress nothing.
CREATE TYPE suppression_list AS ENUM (
    'unsubscribes', 'group', 'bounces', 'invalid_emails', 'spam_reports', 'blocks'
);

CREATE TABLE suppressions (
    tenant_id   text COLLATE "C" NOT NULL,
    address     text COLLATE "C" NOT NULL,   -- as addresses compare (cluster/suppression/address.py)
    list        suppression_list NOT NULL,
    group_id    integer NOT NULL DEFAULT 0,  -- of an entry of list 'group'
    email       text NOT NULL,               -- as it was written
    created_at  timestamptz NOT NULL DEFAULT now(),
    reason      text NOT NULL DEFAULT '',
    status      text NOT NULL DEFAULT '',    -- the enhanced status code of a bounce
    ip          text NOT NULL DEFAULT '',    -- of a spam report
    rule        text NOT NULL DEFAULT '',    -- the rule that classified the reply; '' where no reply made the entry
    PRIMARY KEY (tenant_id, address, list, group_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX suppressions_in_time ON suppressions (tenant_id, list, group_id, created_at, address);
CREATE INDEX suppressions_by_rule ON suppressions (rule, created_at) WHERE rule <> '';

-- Uploaded lists, until they are worked in. The chunks are those of the upload, which cut lines.
CREATE TABLE suppression_imports (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    list        suppression_list NOT NULL,
    group_id    integer NOT NULL DEFAULT 0,
    status      text NOT NULL DEFAULT 'pending' CHECK (status IN ('uploading', 'pending', 'done', 'failed')),
    state       bytea NOT NULL DEFAULT '',   -- how far it is: what the worker needs to go on after the last chunk
    chunks      integer NOT NULL DEFAULT 0,  -- of the upload, once it is complete
    lines       bigint NOT NULL DEFAULT 0,
    added       bigint NOT NULL DEFAULT 0,
    known       bigint NOT NULL DEFAULT 0,   -- on the list already
    faulty      bigint NOT NULL DEFAULT 0,
    faults      jsonb NOT NULL DEFAULT '[]', -- the first 1,000: [{"line", "message"}]
    error       text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX suppression_imports_of_tenant ON suppression_imports (tenant_id, id);
CREATE INDEX suppression_imports_pending ON suppression_imports (id) WHERE status IN ('uploading', 'pending');

CREATE TABLE suppression_import_chunks (
    import_id   text COLLATE "C" NOT NULL REFERENCES suppression_imports ON DELETE CASCADE,
    number      integer NOT NULL,
    content     bytea NOT NULL,
    PRIMARY KEY (import_id, number)
);
ALTER TABLE suppression_import_chunks ALTER COLUMN content SET STORAGE EXTERNAL;

-- What decides whether a delivery is suppressed. NULL, as in most rows, takes no room.
ALTER TABLE deliveries
    ADD COLUMN address  text,                -- as addresses compare, where address_of does not give it
    ADD COLUMN group_id integer,             -- the unsubscribe group of its message
    ADD COLUMN bypass   smallint;            -- the lists that its message passes (cluster/suppression/lists.py)

-- A recipient as addresses compare, for those that are ASCII, as nearly all are: ASCII letters in lower case, and the
-- domain in A-labels.
CREATE FUNCTION address_of(recipient text, domain text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- In a microsecond, as each claim calls it: lower in the collation C knows only ASCII.
    SELECT lower(left(recipient, -1 - length(split_part(recipient, '@', -1))) COLLATE "C") || '@' || domain
$$;

-- The entry that suppresses mail of a group (or none) that passes some lists (or none) to an address; no row: none does.
-- Made so that the planner puts it into the statements that use it: then it is one lookup in the primary key. The
-- tenant's settings are read only where there is an entry. An entry that bounce_purge is about to delete does not count.
CREATE FUNCTION suppression_of(of_tenant text, of_address text, in_group integer, passing smallint)
RETURNS TABLE (name text, created_at timestamptz, reason text, rule text) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE s.list WHEN 'group' THEN 'group ' || s.group_id ELSE s.list::text END, s.created_at, s.reason, s.rule
    FROM suppressions s
    WHERE s.tenant_id = of_tenant AND s.address = of_address AND s.list <> 'blocks'
        AND (s.list <> 'group' OR s.group_id = in_group)
        -- The bits of Bypass in cluster/suppression/lists.py.
        AND coalesce(passing, 0) & CASE s.list
            WHEN 'unsubscribes' THEN 9 WHEN 'bounces' THEN 5 WHEN 'spam_reports' THEN 3 ELSE 1 END = 0
        AND (SELECT NOT (s.list = 'bounces'
                AND coalesce((t.settings #>> '{bounce_purge,enabled}')::boolean, false)
                AND coalesce(s.created_at < now() - make_interval(
                    days => least((t.settings #>> '{bounce_purge,hard_bounces}')::numeric, 36500)::integer), false))
            AND NOT (coalesce((t.settings #>> '{address_whitelist,enabled}')::boolean, false)
                AND EXISTS (SELECT FROM jsonb_array_elements_text(t.settings #> '{address_whitelist,list}') AS w (entry)
                    WHERE lower(w.entry) IN (s.address, split_part(s.address, '@', -1))))
            FROM tenants t WHERE t.id = s.tenant_id)
    ORDER BY s.list, s.group_id LIMIT 1
$$;
