-- Erasing the data about recipients.

CREATE TABLE erase_jobs (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    addresses   text[] NOT NULL,                  -- as addresses compare; {} once they are erased
    created_at  timestamptz NOT NULL DEFAULT now(),
    stage       text NOT NULL DEFAULT 'journal',  -- cluster/journal/recipient_erasure.py
    mark        xid8,                             -- the stage waits until what was logged before it is read
    look_at     timestamptz NOT NULL,             -- when the job goes on
    finished_at timestamptz
);
CREATE INDEX erase_jobs_to_do ON erase_jobs (look_at) WHERE finished_at IS NULL;
CREATE INDEX erase_jobs_of_tenant ON erase_jobs (tenant_id, id);

-- Messages that were erased. Their links still work, but opens and clicks are no longer recorded.
CREATE TABLE erased_messages (
    message_id  text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    erased_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX erased_messages_of_tenant ON erased_messages (tenant_id);
CREATE INDEX erased_messages_at ON erased_messages (erased_at);

-- An erased address stays on its suppression lists as a hash, keyed by its tenant.
CREATE TABLE suppression_keys (
    tenant_id   text COLLATE "C" PRIMARY KEY,
    key         bytea NOT NULL                    -- 32 random bytes
);

-- The text that stands for an erased address; NULL where the tenant has not erased any address.
CREATE FUNCTION erased_form(of_tenant text, of_address text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT 'sha256:' || encode(sha256(k.key || convert_to(of_address, 'UTF8')), 'hex')
    FROM suppression_keys k WHERE k.tenant_id = of_tenant
$$;

-- As before, but an entry may have the erased form of the address. For a tenant that has not erased any address, that
-- costs one look-up in an index.
CREATE OR REPLACE FUNCTION suppression_of(of_tenant text, of_address text, in_group integer, passing smallint)
RETURNS TABLE (name text, created_at timestamptz, reason text, rule text) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE s.list WHEN 'group' THEN 'group ' || s.group_id ELSE s.list::text END, s.created_at, s.reason, s.rule
    FROM (
        SELECT * FROM suppressions s WHERE s.tenant_id = of_tenant AND s.address = of_address
        UNION ALL
        SELECT e.* FROM suppression_keys k JOIN suppressions e ON e.tenant_id = k.tenant_id
            AND e.address = 'sha256:' || encode(sha256(k.key || convert_to(of_address, 'UTF8')), 'hex')
        WHERE k.tenant_id = of_tenant
    ) s
    WHERE s.list <> 'blocks'
        AND (s.list <> 'group' OR s.group_id = in_group)
        AND coalesce(passing, 0) & CASE s.list
            WHEN 'unsubscribes' THEN 9 WHEN 'bounces' THEN 5 WHEN 'spam_reports' THEN 3 ELSE 1 END = 0
        AND (SELECT NOT (s.list = 'bounces'
                AND coalesce((t.settings #>> '{bounce_purge,enabled}')::boolean, false)
                AND EXISTS (SELECT FROM suppressions b
                    WHERE b.tenant_id = s.tenant_id AND b.address = s.address AND b.list = s.list
                        AND b.group_id = s.group_id AND b.created_at < now() - make_interval(
                            days => least((t.settings #>> '{bounce_purge,hard_bounces}')::numeric, 36500)::integer)))
            AND NOT (coalesce((t.settings #>> '{address_whitelist,enabled}')::boolean, false)
                AND EXISTS (SELECT FROM jsonb_array_elements_text(t.settings #> '{address_whitelist,list}') AS w (entry)
                    WHERE lower(w.entry) IN (of_address, split_part(of_address, '@', -1))))
            FROM tenants t WHERE t.id = s.tenant_id)
    ORDER BY s.list, s.group_id LIMIT 1
$$;
