-- What a claim costs among millions of suppressions.

-- As before, but decided from the primary key alone: the row of an entry, mostly on a page that is not in memory, is read
-- only by those who ask for its time or reason, and where a bounce may be too old for its tenant. A claim asks for the
-- name alone.
CREATE OR REPLACE FUNCTION suppression_of(of_tenant text, of_address text, in_group integer, passing smallint)
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
                AND EXISTS (SELECT FROM suppressions b
                    WHERE b.tenant_id = s.tenant_id AND b.address = s.address AND b.list = s.list
                        AND b.group_id = s.group_id AND b.created_at < now() - make_interval(
                            days => least((t.settings #>> '{bounce_purge,hard_bounces}')::numeric, 36500)::integer)))
            AND NOT (coalesce((t.settings #>> '{address_whitelist,enabled}')::boolean, false)
                AND EXISTS (SELECT FROM jsonb_array_elements_text(t.settings #> '{address_whitelist,list}') AS w (entry)
                    WHERE lower(w.entry) IN (s.address, split_part(s.address, '@', -1))))
            FROM tenants t WHERE t.id = s.tenant_id)
    ORDER BY s.list, s.group_id LIMIT 1
$$;

-- The key answers alone for pages that vacuum has seen since their last change: see to them after every hundredth of new
-- entries, not every fifth.
ALTER TABLE suppressions SET (autovacuum_vacuum_insert_scale_factor = 0.01);
