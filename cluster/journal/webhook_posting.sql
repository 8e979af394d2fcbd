-- Webhooks: leasing what endpoints are owed, and settling what came of posts.

-- name: begin_webhook_life
SELECT nextval('webhook_leases')

-- name: free_webhook_bundles
-- What earlier lives of the process held is due again.
UPDATE webhook_bundles SET lease = NULL, due_at = least(due_at, now()) WHERE lease < %(life)s

-- name: owed_webhooks
-- The endpoints that something may be posted to now, and that are owed something that is due.
SELECT w.id
FROM webhooks w JOIN webhook_states s ON s.webhook_id = w.id
WHERE w.is_enabled AND NOT w.is_paused AND s.disabled_at IS NULL AND (s.next_at IS NULL OR s.next_at <= now())
    AND EXISTS (SELECT FROM webhook_bundles b WHERE b.webhook_id = w.id AND b.due_at <= now())

-- name: failing_webhooks
-- How many endpoints fail, how many were disabled because they did, and for how long the first of those that fail has.
SELECT count(*) FILTER (WHERE s.failures > 0 AND s.disabled_at IS NULL), count(*) FILTER (WHERE s.disabled_at IS NOT NULL),
    coalesce(extract(epoch FROM now() - min(s.failed_since) FILTER (WHERE s.disabled_at IS NULL)), 0)::float8
FROM webhook_states s JOIN webhooks w ON w.id = s.webhook_id
WHERE (s.failures > 0 OR s.disabled_at IS NOT NULL) AND w.is_enabled

-- name: lease_webhook_bundles
-- Of each endpoint the bundles that are due, the first of them first: at least one, and no more once they have so many
-- events or bytes. octet_length does not fetch values that are stored out of line.
WITH open AS (
    SELECT s.webhook_id, s.failures, o.most_events, o.most_bytes
    FROM unnest(%(webhook_ids)s::text[], %(most_events)s::bigint[], %(most_bytes)s::bigint[])
            AS o (id, most_events, most_bytes)
        JOIN webhooks w ON w.id = o.id
        JOIN webhook_states s ON s.webhook_id = o.id
    WHERE w.is_enabled AND NOT w.is_paused AND s.disabled_at IS NULL AND (s.next_at IS NULL OR s.next_at <= now())
),
picked AS (
    SELECT open.webhook_id, b.id, open.failures
    FROM open CROSS JOIN LATERAL (
        SELECT n.id, sum(n.count) OVER earlier - n.count AS events, sum(n.size) OVER earlier - n.size AS bytes
        FROM (
            SELECT id, due_at, count, octet_length(events) AS size FROM webhook_bundles
            WHERE webhook_id = open.webhook_id AND due_at <= now() ORDER BY due_at, id LIMIT 1000
        ) n
        WINDOW earlier AS (ORDER BY n.due_at, n.id ROWS UNBOUNDED PRECEDING)
    ) b
    WHERE b.events < open.most_events AND b.bytes < open.most_bytes
)
UPDATE webhook_bundles b SET lease = %(life)s, due_at = now() + make_interval(secs => %(lease_s)s)
FROM picked WHERE b.webhook_id = picked.webhook_id AND b.id = picked.id AND b.due_at <= now()
RETURNING b.webhook_id, b.id, b.events, b.count, b.since, b.attempts, picked.failures

-- name: lock_webhook_states
-- The endpoint's row too: a removal locks it first, and then what belongs to it.
SELECT s.webhook_id, w.tenant_id, w.url, w.notify_email, w.updated_at, s.failures, s.failed_since, s.failed_at, s.next_at,
    s.disabled_at, s.disabled_reason
FROM webhooks w JOIN webhook_states s ON s.webhook_id = w.id
WHERE w.id = ANY(%(webhook_ids)s)
ORDER BY w.id FOR KEY SHARE OF w FOR UPDATE OF s

-- name: set_webhook_states
-- Without last_at, what it answered last stays.
UPDATE webhook_states s SET failures = n.failures, failed_since = n.failed_since, failed_at = n.failed_at,
    next_at = n.next_at, disabled_at = n.disabled_at, disabled_reason = n.disabled_reason,
    is_untold = s.is_untold OR n.is_untold, last_at = coalesce(n.last_at, s.last_at),
    last_status = CASE WHEN n.last_at IS NULL THEN s.last_status ELSE n.last_status END,
    last_error = coalesce(n.last_error, s.last_error), last_ms = coalesce(n.last_ms, s.last_ms),
    rate = coalesce(n.rate, s.rate), posted = s.posted + n.posted
FROM unnest(%(webhook_ids)s::text[], %(failures)s::bigint[], %(failed_since)s::timestamptz[],
    %(failed_at)s::timestamptz[], %(next_at)s::timestamptz[], %(disabled_at)s::timestamptz[],
    %(disabled_reasons)s::text[], %(untold)s::boolean[], %(last_at)s::timestamptz[], %(last_statuses)s::bigint[],
    %(last_errors)s::text[], %(last_ms)s::bigint[], %(rates)s::float8[], %(posted)s::bigint[])
    AS n (webhook_id, failures, failed_since, failed_at, next_at, disabled_at, disabled_reason, is_untold, last_at,
        last_status, last_error, last_ms, rate, posted)
WHERE s.webhook_id = n.webhook_id

-- name: take_webhook_bundles
-- They were posted.
DELETE FROM webhook_bundles b USING unnest(%(webhook_ids)s::text[], %(ids)s::bigint[]) AS t (webhook_id, id)
WHERE b.webhook_id = t.webhook_id AND b.id = t.id AND b.lease = %(life)s

-- name: put_back_webhook_bundles
UPDATE webhook_bundles b SET lease = NULL, attempts = p.attempts, due_at = p.due_at
FROM unnest(%(webhook_ids)s::text[], %(ids)s::bigint[], %(attempts)s::bigint[], %(due_at)s::timestamptz[])
    AS p (webhook_id, id, attempts, due_at)
WHERE b.webhook_id = p.webhook_id AND b.id = p.id AND b.lease = %(life)s

-- name: split_webhook_bundles
-- Some of their events were posted; the others become bundles of their own.
WITH taken AS (
    DELETE FROM webhook_bundles b USING (
        SELECT DISTINCT webhook_id, id FROM unnest(%(webhook_ids)s::text[], %(ids)s::bigint[]) AS t (webhook_id, id)
    ) t
    WHERE b.webhook_id = t.webhook_id AND b.id = t.id AND b.lease = %(life)s
    RETURNING b.webhook_id, b.id, b.since
)
INSERT INTO webhook_bundles (webhook_id, events, count, since, attempts, due_at)
SELECT taken.webhook_id, n.events, n.count, taken.since, n.attempts, n.due_at
FROM unnest(%(webhook_ids)s::text[], %(ids)s::bigint[], %(events)s::bytea[], %(counts)s::bigint[],
        %(attempts)s::bigint[], %(due_at)s::timestamptz[]) WITH ORDINALITY
        AS n (webhook_id, id, events, count, attempts, due_at, place)
    JOIN taken ON taken.webhook_id = n.webhook_id AND taken.id = n.id
ORDER BY n.place

-- name: hasten_webhook_bundles
-- The endpoints work again: all that they are owed goes out.
UPDATE webhook_bundles SET due_at = now()
WHERE webhook_id = ANY(%(webhook_ids)s) AND due_at > now() AND lease IS NULL

-- name: untold_webhooks
SELECT w.id, w.tenant_id, w.name, w.url, w.notify_email, s.disabled_at, s.disabled_reason
FROM webhook_states s JOIN webhooks w ON w.id = s.webhook_id
WHERE s.is_untold ORDER BY w.id LIMIT %(limit)s

-- name: webhook_told
UPDATE webhook_states SET is_untold = false WHERE webhook_id = %(webhook_id)s
