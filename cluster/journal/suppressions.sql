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
-- Takes addresses off one list; returns which were on it.
DELETE FROM suppressions
WHERE tenant_id = %(tenant_id)s AND list = %(list)s::suppression_list AND group_id = %(group_id)s
    AND address = ANY (%(addresses)s::text[])
RETURNING address

-- name: groups_among
SELECT id FROM suppression_groups WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::int[])

-- name: suppression_page
-- A page of one list, the newest first; after an entry (its time and address), or from an offset.
SELECT email, created_at, reason, status, ip, address FROM suppressions
WHERE tenant_id = %(tenant_id)s AND list = %(list)s::suppression_list AND group_id = %(group_id)s
    AND created_at >= %(start)s AND created_at <= %(until)s
    AND (created_at, address) < (%(after_at)s, %(after_address)s)
    AND (%(pattern)s::text IS NULL OR address LIKE %(pattern)s)
ORDER BY created_at DESC, address DESC LIMIT %(limit)s OFFSET %(offset)s

-- name: suppression_entry
SELECT email, created_at, reason, status, ip, address FROM suppressions
WHERE tenant_id = %(tenant_id)s AND address = %(address)s AND list = %(list)s::suppression_list
    AND group_id = %(group_id)s

-- name: suppressed_among
SELECT address FROM suppressions
WHERE tenant_id = %(tenant_id)s AND address = ANY (%(addresses)s::text[]) AND list = %(list)s::suppression_list
    AND group_id = %(group_id)s

-- name: clear_suppressions
-- A part of one list.
DELETE FROM suppressions WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM suppressions
    WHERE tenant_id = %(tenant_id)s AND list = %(list)s::suppression_list AND group_id = %(group_id)s LIMIT %(limit)s))
