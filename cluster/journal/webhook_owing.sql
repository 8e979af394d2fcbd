-- What endpoints are owed.

-- name: owed_messages
-- What events say of their messages. Messages that are gone have no row.
SELECT m.id, m.from_email, coalesce(r.key_id, ''), coalesce(r.group_id, 0), r.told, m.told
FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[]) AS k (tenant_id, message_id)
JOIN messages m ON m.tenant_id = ANY (ARRAY[k.tenant_id]) AND m.id = ANY (ARRAY[k.message_id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
JOIN requests r ON r.id = ANY (ARRAY[m.request_id])
    AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text

-- name: owe
-- Endpoints that were removed meanwhile are left out; the lock keeps the others until the commit.
WITH kept AS (
    SELECT w.id FROM webhooks w WHERE w.id = ANY (%(webhook_ids)s::text[]) ORDER BY w.id FOR KEY SHARE
)
INSERT INTO webhook_bundles (webhook_id, events, count)
SELECT b.webhook_id, c.events, b.count
FROM unnest(%(webhook_ids)s::text[], %(places)s::int[], %(counts)s::int[])
        WITH ORDINALITY AS b (webhook_id, place, count, no)
    JOIN unnest(%(contents)s::bytea[]) WITH ORDINALITY AS c (events, place) USING (place)
WHERE b.webhook_id IN (SELECT id FROM kept)
ORDER BY b.no

-- name: skip_log
-- To the end of the log, as long as there is no endpoint: what happens before one is added is not owed to it.
UPDATE log_cursors c SET tx = l.tx, id = l.id, moved_at = now()
FROM (
    SELECT tx, id FROM event_log WHERE tx < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY tx DESC, id DESC LIMIT 1
) l
WHERE c.consumer = %(consumer)s AND (c.tx, c.id) < (l.tx, l.id) AND NOT EXISTS (SELECT FROM webhooks)

-- name: drop_late_bundles
WITH late AS (
    SELECT b.webhook_id, b.id FROM webhooks w
    CROSS JOIN LATERAL (
        SELECT webhook_id, id FROM webhook_bundles
        WHERE webhook_id = w.id AND since < now() - make_interval(secs => %(keep_s)s) AND lease IS NULL
        ORDER BY id LIMIT 100
    ) b
), gone AS (
    DELETE FROM webhook_bundles USING late
    WHERE webhook_bundles.webhook_id = late.webhook_id AND webhook_bundles.id = late.id
        AND webhook_bundles.lease IS NULL
    RETURNING webhook_bundles.webhook_id, webhook_bundles.count
)
UPDATE webhook_states s SET dropped = s.dropped + g.count
FROM (SELECT webhook_id, sum(count)::bigint AS count FROM gone GROUP BY webhook_id) g
WHERE s.webhook_id = g.webhook_id
RETURNING s.webhook_id, g.count

-- name: bundles_size
SELECT pg_total_relation_size('webhook_bundles')

-- name: drop_surplus_bundles
-- Of each tenant, what came before the newest %(keep_bytes)s bytes. octet_length does not fetch what is stored out of line.
WITH surplus AS (
    SELECT webhook_id, id FROM (
        SELECT b.webhook_id, b.id, sum(octet_length(b.events)) OVER (
            PARTITION BY w.tenant_id ORDER BY b.id DESC ROWS UNBOUNDED PRECEDING) AS bytes
        FROM webhooks w JOIN webhook_bundles b ON b.webhook_id = w.id WHERE b.lease IS NULL
    ) sized WHERE bytes > %(keep_bytes)s
), gone AS (
    DELETE FROM webhook_bundles USING surplus
    WHERE webhook_bundles.webhook_id = surplus.webhook_id AND webhook_bundles.id = surplus.id
        AND webhook_bundles.lease IS NULL
    RETURNING webhook_bundles.webhook_id, webhook_bundles.count
)
UPDATE webhook_states s SET dropped = s.dropped + g.count
FROM (SELECT webhook_id, sum(count)::bigint AS count FROM gone GROUP BY webhook_id) g
WHERE s.webhook_id = g.webhook_id
RETURNING s.webhook_id, g.count
