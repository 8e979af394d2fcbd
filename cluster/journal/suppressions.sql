-- Suppression lists.

-- name: suppress
-- Puts addresses on lists; returns which were not there. An entry that is there stays as it is.
INSERT INTO suppressions (tenant_id, address, list, group_id, email, created_at, reason, status, ip, rule)
SELECT tenant_id, address, list::suppression_list, group_id, email, created_at, reason, status, ip, rule
FROM unnest(%(tenant_ids)s::text[], %(addresses)s::text[], %(lists)s::text[], %(group_ids)s::int[], %(emails)s::text[],
    %(created_ats)s::timestamptz[], %(reasons)s::text[], %(statuses)s::text[], %(ips)s::text[], %(rules)s::text[])
    AS s (tenant_id, address, list, group_id, email, created_at, reason, status, ip, rule)
ORDER BY tenant_id, address, list, group_id
ON CONFLICT DO NOTHING
RETURNING tenant_id, address

-- name: lift_suppressions
-- Takes addresses off one list; returns which were on it. An entry may have the erased form of its address.
DELETE FROM suppressions s USING unnest(%(addresses)s::text[]) AS k (address)
WHERE s.tenant_id = %(tenant_id)s AND s.list = %(list)s::suppression_list AND s.group_id = %(group_id)s
    AND s.address = ANY (ARRAY[k.address, erased_form(%(tenant_id)s, k.address)])
RETURNING k.address

-- name: groups_among
SELECT id FROM suppression_groups WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::int[])

-- name: suppression_page
-- A page of one list, the newest first; after an entry (its time and address), or from an offset. Entries of erased
-- addresses have nothing to show.
SELECT email, created_at, reason, status, ip, address FROM suppressions
WHERE tenant_id = %(tenant_id)s AND list = %(list)s::suppression_list AND group_id = %(group_id)s
    AND email <> '' AND created_at >= %(start)s AND created_at <= %(until)s
    AND (created_at, address) < (%(after_at)s, %(after_address)s)
    AND (%(patterns)s::text[] IS NULL OR address LIKE ANY (%(patterns)s::text[]))
ORDER BY created_at DESC, address DESC LIMIT %(limit)s OFFSET %(offset)s

-- name: suppression_entry
-- An erased address is shown as it was asked for.
SELECT coalesce(nullif(email, ''), %(address)s), created_at, reason, status, ip, %(address)s FROM suppressions
WHERE tenant_id = %(tenant_id)s AND address = ANY (ARRAY[%(address)s, erased_form(%(tenant_id)s, %(address)s)])
    AND list = %(list)s::suppression_list AND group_id = %(group_id)s
ORDER BY email = '' LIMIT 1

-- name: suppressed_among
SELECT k.address FROM unnest(%(addresses)s::text[]) AS k (address)
WHERE EXISTS (SELECT FROM suppressions s
    WHERE s.tenant_id = %(tenant_id)s AND s.address = ANY (ARRAY[k.address, erased_form(%(tenant_id)s, k.address)])
        AND s.list = %(list)s::suppression_list AND s.group_id = %(group_id)s)

-- name: clear_suppressions
-- A part of one list.
DELETE FROM suppressions WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM suppressions
    WHERE tenant_id = %(tenant_id)s AND list = %(list)s::suppression_list AND group_id = %(group_id)s LIMIT %(limit)s))

-- name: made_by_rule
SELECT list::text, count(*)::int8 FROM suppressions
WHERE rule = %(rule)s AND rule <> '' AND created_at >= %(since)s
    AND (%(list)s::suppression_list IS NULL OR list = %(list)s::suppression_list)
GROUP BY list ORDER BY list

-- name: purge_rule
-- A part of what a bounce rule has made.
WITH gone AS (
    DELETE FROM suppressions WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM suppressions
        WHERE rule = %(rule)s AND rule <> '' AND created_at >= %(since)s
            AND (%(list)s::suppression_list IS NULL OR list = %(list)s::suppression_list)
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
    RETURNING list
)
SELECT list::text, count(*)::int8 FROM gone GROUP BY list ORDER BY list

-- name: purge_bounces
-- A part of the entries that are too old for their tenants: hard bounces are on bounces, others on blocks.
DELETE FROM suppressions WHERE ctid = ANY (ARRAY (
    SELECT s.ctid FROM tenants t
    CROSS JOIN LATERAL (VALUES
        ('bounces'::suppression_list, t.settings #>> '{bounce_purge,hard_bounces}'),
        ('blocks', t.settings #>> '{bounce_purge,soft_bounces}')) AS p (list, days)
    CROSS JOIN LATERAL (
        SELECT ctid FROM suppressions
        WHERE tenant_id = t.id AND list = p.list AND group_id = 0
            AND created_at < now() - make_interval(days => least(p.days::numeric, 36500)::integer)
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS s
    WHERE (t.settings #>> '{bounce_purge,enabled}')::boolean
    LIMIT %(limit)s))

-- name: suppressed_by
-- What suppresses these addresses now, as a claim would decide.
SELECT (k.number - 1)::int, s.name, s.created_at, s.reason, s.rule
FROM unnest(%(addresses)s::text[]) WITH ORDINALITY AS k (address, number)
CROSS JOIN LATERAL suppression_of(%(tenant_id)s, k.address, %(group_id)s::int, %(bypass)s::int2) s

-- name: suppressions_after
-- Entries of all lists, in the order of the key. Entries of erased addresses have nothing to show.
SELECT s.address, s.list::text, s.group_id, s.email, s.created_at, s.reason, s.status, s.ip FROM suppressions s
WHERE s.tenant_id = %(tenant_id)s AND s.email <> ''
    AND (s.address, s.list, s.group_id) > (%(address)s, %(list)s::suppression_list, %(group_id)s)
ORDER BY s.address, s.list, s.group_id LIMIT %(limit)s
