-- What endpoints become owed.

-- name: owed_messages
-- What events say of their messages. Messages that are gone have no row.
SELECT m.id, m.from_email, coalesce(r.key_id, ''), coalesce(r.group_id, 0), r.told, m.told
FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[]) AS k (tenant_id, message_id)
JOIN messages m ON m.tenant_id = ANY (ARRAY[k.tenant_id]) AND m.id = ANY (ARRAY[k.message_id])
JOIN requests r ON r.id = ANY (ARRAY[m.request_id])

-- name: owe
-- Endpoints that were removed meanwhile are left out; the lock keeps the others until the commit.
WITH kept AS (
    SELECT w.id FROM webhooks w WHERE w.id = ANY (%(webhook_ids)s::text[]) ORDER BY w.id FOR KEY SHARE
)
INSERT INTO webhook_bundles (webhook_id, events, count)
SELECT b.webhook_id, b.events, b.count
FROM unnest(%(webhook_ids)s::text[], %(bundles)s::bytea[], %(counts)s::int[])
    WITH ORDINALITY AS b (webhook_id, events, count, no)
WHERE b.webhook_id IN (SELECT id FROM kept)
ORDER BY b.no

-- name: skip_log
-- To the end of the log, as long as there is no endpoint: what happens before one is added is not owed to it.
UPDATE log_cursors c SET tx = l.tx, id = l.id, moved_at = now()
FROM (
    SELECT tx, id FROM event_log WHERE tx < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY tx DESC, id DESC LIMIT 1
) l
WHERE c.consumer = %(consumer)s AND (c.tx, c.id) < (l.tx, l.id) AND NOT EXISTS (SELECT FROM webhooks)
