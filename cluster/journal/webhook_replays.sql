-- Events of the past that endpoints get again.

-- name: add_replay
INSERT INTO webhook_replays (id, webhook_id, filters, created_at)
SELECT %(id)s, w.id, %(filters)s::jsonb, %(created_at)s FROM webhooks w
WHERE w.tenant_id = %(tenant_id)s AND w.id = %(webhook_id)s
    AND (SELECT count(*) FROM webhook_replays r WHERE r.webhook_id = w.id AND r.finished_at IS NULL) < %(most)s

-- name: replays
SELECT r.id, r.filters, r.position, r.events, r.created_at, r.finished_at, r.error
FROM webhooks w JOIN webhook_replays r ON r.webhook_id = w.id
WHERE w.tenant_id = %(tenant_id)s AND w.id = %(webhook_id)s ORDER BY r.id DESC LIMIT %(limit)s

-- name: replay
SELECT r.id, r.filters, r.position, r.events, r.created_at, r.finished_at, r.error
FROM webhooks w JOIN webhook_replays r ON r.webhook_id = w.id
WHERE w.tenant_id = %(tenant_id)s AND w.id = %(webhook_id)s AND r.id = %(id)s

-- name: pending_replays
-- Those whose endpoint has little to do, the oldest first.
SELECT r.id, r.webhook_id, w.tenant_id, r.filters, r.position
FROM webhook_replays r JOIN webhooks w ON w.id = r.webhook_id
WHERE r.finished_at IS NULL
    AND coalesce((SELECT sum(b.count) FROM webhook_bundles b WHERE b.webhook_id = r.webhook_id), 0) < %(most_waiting)s
ORDER BY r.id LIMIT 100

-- name: advance_replay
UPDATE webhook_replays SET position = %(position)s, events = events + %(count)s,
    finished_at = CASE WHEN %(is_done)s THEN now() END
WHERE id = %(id)s AND finished_at IS NULL AND position = %(before)s

-- name: forget_replays
DELETE FROM webhook_replays WHERE finished_at < now() - interval '30 days'
