-- How the deliveries of tenants end, and the rates that are counted from that.

-- name: count_ends
-- In the order of the key, so that two commits of a process cannot deadlock.
INSERT INTO tenant_ends AS e (tenant_id, shard, ended, hard, delivered, complaints)
SELECT tenant_id, %(shard)s, ended, hard, delivered, 0
FROM unnest(%(tenant_ids)s::text[], %(ended)s::bigint[], %(hard)s::bigint[], %(delivered)s::bigint[])
    AS c (tenant_id, ended, hard, delivered)
ORDER BY tenant_id
ON CONFLICT (tenant_id, shard) DO UPDATE
SET ended = e.ended + excluded.ended, hard = e.hard + excluded.hard, delivered = e.delivered + excluded.delivered

-- name: ended_at
-- When the message ended, before a report on it changes that; no row while it is not finished.
SELECT finished_at FROM outcomes WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s

-- name: count_reports
-- Reports on a message that ended before its tenant was last resumed do not count.
INSERT INTO tenant_ends AS e (tenant_id, shard, ended, hard, delivered, complaints)
SELECT id, %(shard)s, 0, %(hard)s, 0, %(complaints)s FROM tenants
WHERE id = %(tenant_id)s AND coalesce(%(ended_at)s::timestamptz > resumed_at, true)
ON CONFLICT (tenant_id, shard) DO UPDATE
SET hard = e.hard + excluded.hard, complaints = e.complaints + excluded.complaints

-- name: lock_ended_tenants
-- Tenants with ends to count. They are locked before their counts, as when one is resumed.
SELECT id, pause_over_rates, suspended_at IS NOT NULL FROM tenants
WHERE id = ANY (ARRAY (SELECT DISTINCT tenant_id FROM tenant_ends LIMIT %(limit)s)) AND deleted_at IS NULL
ORDER BY id FOR NO KEY UPDATE SKIP LOCKED

-- name: take_ends
-- Takes what ended for these tenants, with the windows so far. Rows are locked in the order of the key, as by commits.
WITH locked AS (
    SELECT tenant_id, shard FROM tenant_ends WHERE tenant_id = ANY (%(tenant_ids)s::text[])
    ORDER BY tenant_id, shard FOR UPDATE
), taken AS (
    DELETE FROM tenant_ends AS e USING locked WHERE e.tenant_id = locked.tenant_id AND e.shard = locked.shard
    RETURNING e.tenant_id, e.ended, e.hard, e.delivered, e.complaints
), summed AS (
    SELECT tenant_id, sum(ended)::bigint AS ended, sum(hard)::bigint AS hard, sum(delivered)::bigint AS delivered,
        sum(complaints)::bigint AS complaints
    FROM taken GROUP BY tenant_id
)
SELECT s.tenant_id, s.ended, s.hard, s.delivered, s.complaints, r.ended, r.hard, r.is_over_bounces, r.delivered,
    r.complaints, r.is_over_complaints
FROM summed s LEFT JOIN tenant_rates r ON r.tenant_id = ANY (ARRAY[s.tenant_id])

-- name: store_rates
INSERT INTO tenant_rates
    (tenant_id, ended, hard, is_over_bounces, delivered, complaints, is_over_complaints)
SELECT * FROM unnest(%(tenant_ids)s::text[], %(ended)s::float8[], %(hard)s::float8[], %(is_over_bounces)s::bool[],
    %(delivered)s::float8[], %(complaints)s::float8[], %(is_over_complaints)s::bool[])
ON CONFLICT (tenant_id) DO UPDATE
SET ended = excluded.ended, hard = excluded.hard, is_over_bounces = excluded.is_over_bounces,
    delivered = excluded.delivered, complaints = excluded.complaints, is_over_complaints = excluded.is_over_complaints

-- name: pause_tenants
UPDATE tenants SET suspended_at = now(), suspended_for = p.reason
FROM unnest(%(tenant_ids)s::text[], %(reasons)s::text[]) AS p (id, reason)
WHERE tenants.id = p.id AND suspended_at IS NULL

-- name: forget_ends
DELETE FROM tenant_ends WHERE tenant_id = %(id)s

-- name: forget_rates
DELETE FROM tenant_rates WHERE tenant_id = %(id)s
