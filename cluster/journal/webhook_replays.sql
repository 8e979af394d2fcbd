-- Events of the past that endpoints get again.

-- name: add_replay
-- All that happened before is in the log, up to its end now.
INSERT INTO webhook_replays (id, webhook_id, filters, created_at, end_tx, end_id)
SELECT %(id)s, w.id, %(filters)s::jsonb, %(created_at)s, coalesce(l.tx, '0'), coalesce(l.id, 0)
FROM webhooks w LEFT JOIN (SELECT tx, id FROM event_log ORDER BY tx DESC, id DESC LIMIT 1) l ON true
WHERE w.tenant_id = %(tenant_id)s AND w.id = %(webhook_id)s
    AND (SELECT count(*) FROM webhook_replays r WHERE r.webhook_id = w.id AND r.finished_at IS NULL) < %(most)s

-- name: replays
SELECT r.id, r.position, r.events, r.created_at, r.finished_at, r.error
FROM webhooks w JOIN webhook_replays r ON r.webhook_id = w.id
WHERE w.tenant_id = %(tenant_id)s AND w.id = %(webhook_id)s ORDER BY r.id DESC LIMIT %(limit)s

-- name: replay
SELECT r.id, r.position, r.events, r.created_at, r.finished_at, r.error
FROM webhooks w JOIN webhook_replays r ON r.webhook_id = w.id
WHERE w.tenant_id = %(tenant_id)s AND w.id = %(webhook_id)s AND r.id = %(id)s

-- name: pending_replays
-- The oldest after %(after)s, each with whether its endpoint has much to do, and whether all that it is about is recorded.
-- What waits is counted in a few bundles only.
SELECT r.id, r.webhook_id, w.tenant_id, r.filters, r.position, n.bundles >= %(most_counted)s OR n.events >= %(most_waiting)s,
    EXISTS (SELECT FROM log_cursors c WHERE c.consumer = 'recorder' AND (c.tx, c.id) >= (r.end_tx, r.end_id))
FROM webhook_replays r JOIN webhooks w ON w.id = r.webhook_id
CROSS JOIN LATERAL (
    SELECT count(*) AS bundles, coalesce(sum(b.count), 0) AS events
    FROM (SELECT count FROM webhook_bundles WHERE webhook_id = r.webhook_id LIMIT %(most_counted)s) b
) n
WHERE r.finished_at IS NULL AND r.id > %(after)s
ORDER BY r.id LIMIT %(limit)s

-- name: advance_replay
UPDATE webhook_replays SET position = %(position)s, events = events + %(count)s,
    finished_at = CASE WHEN %(is_done)s THEN now() END
WHERE id = %(id)s AND finished_at IS NULL AND position = %(before)s

-- name: end_replay
-- It cannot go on.
UPDATE webhook_replays SET finished_at = now(), error = %(error)s WHERE id = %(id)s AND finished_at IS NULL
