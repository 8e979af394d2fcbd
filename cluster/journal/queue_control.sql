-- Operators' work on the queue: search it, end deliveries, make them due, and move them.

-- name: lane_names
-- The first lanes that are not empty, with one index lookup for each.
WITH RECURSIVE held AS (
    (SELECT lane FROM deliveries WHERE lane IS NOT NULL ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT further.lane
    FROM held, LATERAL (
        SELECT lane FROM deliveries WHERE lane IS NOT NULL AND lane > held.lane ORDER BY lane LIMIT 1) AS further
)
SELECT lane FROM held LIMIT %(limit)s

-- name: parked
-- Counts the deliveries in lanes, up to a bound for each.
SELECT l.lane, (SELECT count(*) FROM (SELECT FROM deliveries d WHERE d.lane = l.lane LIMIT %(bound)s) AS counted)
FROM unnest(%(lanes)s::text[]) AS l (lane)

-- name: queue_mark
-- The last delivery of the next part of the queue; no row when fewer deliveries are left.
SELECT message_id, recipient_no FROM deliveries
WHERE (message_id, recipient_no) > (%(message_id)s::text, %(recipient_no)s::int)
ORDER BY message_id, recipient_no OFFSET %(skip)s LIMIT 1

-- name: queue_part
-- The unfinished deliveries in a part of the queue that match an operator's filter.
SELECT message_id, recipient_no, recipient, tenant_id, batch_id, domain, alone, status::text FROM deliveries
WHERE (message_id, recipient_no) > (%(message_id)s::text, %(recipient_no)s::int)
    AND (message_id, recipient_no) <= (%(last_id)s::text, %(last_no)s::int)
    AND status IN ('queued', 'processing', 'rendered', 'sending')
    AND domain = coalesce(%(domain)s, domain)
    AND tenant_id = coalesce(%(tenant_id)s, tenant_id)
    AND (pool = coalesce(%(pool)s, pool) OR (pool = '' AND %(pool)s = 'default'))
    AND (%(batch_id)s::text IS NULL OR batch_id = %(batch_id)s)
ORDER BY message_id, recipient_no

-- name: queue_ages_of_part
-- The unfinished deliveries in a part of the queue by domain and age: how many, and how many of them were tried before.
-- bounds are ids of messages of each age, ascending: the ids tell when a message was accepted.
SELECT domain, width_bucket(message_id, %(bounds)s::text[]), count(*), count(*) FILTER (WHERE attempts > 0)
FROM deliveries
WHERE (message_id, recipient_no) > (%(message_id)s::text, %(recipient_no)s::int)
    AND (message_id, recipient_no) <= (%(last_id)s::text, %(last_no)s::int)
    AND status IN ('queued', 'processing', 'rendered', 'sending')
    AND tenant_id = coalesce(%(tenant_id)s, tenant_id)
GROUP BY 1, 2

-- name: lock_unclaimed
-- Locks those of these deliveries that are neither claimed nor locked by another transaction.
SELECT d.message_id, d.recipient_no, d.tenant_id, d.recipient, d.batch_id, d.alone, d.status::text, r.categories
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
JOIN messages m ON m.tenant_id = ANY (ARRAY[d.tenant_id]) AND m.id = ANY (ARRAY[d.message_id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
JOIN requests r ON r.id = m.request_id
    AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text
WHERE d.status IN ('queued', 'processing')
FOR UPDATE OF d SKIP LOCKED

-- name: waits
-- What deliveries wait for; finished ones are left out.
SELECT d.message_id, d.recipient_no, CASE
    WHEN d.status IN ('rendered', 'sending') THEN 'sending'
    WHEN d.paused_due_at IS NOT NULL
        OR EXISTS (SELECT FROM scheduled_sends s WHERE s.batch_id = d.batch_id AND s.status = 'pause') THEN 'paused'
    WHEN m.send_at > now() THEN 'scheduled'
    WHEN d.status = 'queued' AND d.lane IS NULL AND d.attempts > 0 AND d.due_at > now() THEN 'deferred'
    ELSE 'turn' END
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
JOIN messages m ON m.tenant_id = ANY (ARRAY[d.tenant_id]) AND m.id = ANY (ARRAY[d.message_id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
WHERE d.status IN ('queued', 'processing', 'rendered', 'sending')

-- name: make_due
-- Makes deferred deliveries due now; their status does not change.
WITH mine AS (
    SELECT d.message_id, d.recipient_no
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    JOIN messages m ON m.tenant_id = ANY (ARRAY[d.tenant_id]) AND m.id = ANY (ARRAY[d.message_id])
        AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
    WHERE d.status = 'queued' AND d.lane IS NULL AND d.attempts > 0 AND d.due_at > now()
        AND (m.send_at IS NULL OR m.send_at <= now())
        AND d.paused_due_at IS NULL
        AND NOT EXISTS (SELECT FROM scheduled_sends s WHERE s.batch_id = d.batch_id AND s.status = 'pause')
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d SET due_at = now()
FROM mine WHERE d.message_id = ANY (ARRAY[mine.message_id]) AND d.recipient_no = ANY (ARRAY[mine.recipient_no])

-- name: reroute
-- moves: queued, processing -> queued (rerouted)
-- A delivery that was leased, parked or offered directly is due after soon_s, so that the actor that holds it can
-- release it first. One that waits for a later attempt, its send time or its batch keeps its due time.
WITH mine AS (
    SELECT d.message_id, d.recipient_no, m.send_at
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    JOIN messages m ON m.tenant_id = ANY (ARRAY[d.tenant_id]) AND m.id = ANY (ARRAY[d.message_id])
        AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
    WHERE d.status IN ('queued', 'processing')
        AND (d.pool <> coalesce(%(pool)s, d.pool) OR d.route <> coalesce(%(route)s, d.route))
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d
SET pool = coalesce(%(pool)s, d.pool), route = coalesce(%(route)s, d.route), status = 'queued', owner = NULL, lane = NULL,
    due_at = CASE
        WHEN d.paused_due_at IS NOT NULL THEN d.due_at
        WHEN d.owner IS NOT NULL OR d.lane IS NOT NULL THEN now() + make_interval(secs => %(soon_s)s)
        WHEN d.attempts = 0 THEN greatest(mine.send_at, now() + make_interval(secs => %(soon_s)s))
        ELSE d.due_at END
FROM mine WHERE d.message_id = ANY (ARRAY[mine.message_id]) AND d.recipient_no = ANY (ARRAY[mine.recipient_no])
RETURNING d.message_id, d.recipient_no, d.tenant_id, d.domain, d.pool, d.route
