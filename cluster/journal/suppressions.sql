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
