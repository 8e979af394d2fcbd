-- What is due: leases and lanes.

-- name: due
-- Rows that are due, or whose lease or lifetime is over, oldest first; they stay locked until it is decided on them.
SELECT message_id, recipient_no, tenant_id, domain, recipient, batch_id, attempts, alone, expires_at <= now(),
    status::text, error_message, pool, route
FROM deliveries
WHERE due_at <= now()
ORDER BY due_at LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: anything_due
-- The least due_at is the first entry of its index, whatever the planner believes of the rest.
SELECT coalesce(min(due_at) <= now(), false) FROM deliveries

-- name: lease
-- moves: queued, processing, sending -> processing (leased)
-- Held by the owner that dispatch chose, until its lifetime ends at the latest. What was sending has its lease over.
UPDATE deliveries AS d
SET status = 'processing', owner = k.owner, lane = NULL, due_at = least(now() + make_interval(secs => %(lease_s)s), d.expires_at)
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(owners)s::bigint[]) AS k (message_id, recipient_no, owner)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])

-- name: park
-- moves: queued, processing, sending -> queued (parked)
-- The owner had no room. It waits in its lane, and is looked at again when its lifetime ends. What was sending has its
-- lease over.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, lane = k.lane, due_at = d.expires_at
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(lanes)s::text[]) AS k (message_id, recipient_no, lane)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    AND (d.status IN ('queued', 'processing') OR (d.status = 'sending' AND d.due_at <= now()))

-- name: lease_from_lanes
-- moves: queued -> processing (leased)
-- The owner of lanes takes the oldest that are parked there, lane after lane.
WITH asked AS (
    SELECT * FROM unnest(%(lanes)s::text[], %(tenant_ids)s::text[], %(limits)s::bigint[])
    WITH ORDINALITY AS asked (lane, tenant_id, most, number)
), next AS (
    SELECT asked.number, parked.message_id, parked.recipient_no FROM asked, LATERAL (
        -- Said so that only the index of the lanes has this order.
        SELECT message_id, recipient_no FROM deliveries
        WHERE lane IS NOT NULL AND (lane, tenant_id) >= (asked.lane, asked.tenant_id)
            AND (lane, tenant_id) <= (asked.lane, asked.tenant_id)
        ORDER BY lane, tenant_id, message_id LIMIT asked.most
        FOR UPDATE SKIP LOCKED) AS parked
    LIMIT %(limit)s
)
UPDATE deliveries AS d
SET status = 'processing', owner = %(owner)s, lane = NULL, due_at = least(now() + make_interval(secs => %(lease_s)s), d.expires_at)
FROM next WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])
RETURNING next.number, d.message_id, d.recipient_no, d.tenant_id, d.domain, d.pool, d.route

-- name: lanes
-- Every lane that holds something: one probe of the index for each, however much it holds.
WITH RECURSIVE held AS (
    (SELECT lane, tenant_id FROM deliveries WHERE lane IS NOT NULL ORDER BY lane, tenant_id LIMIT 1)
    UNION ALL
    SELECT further.lane, further.tenant_id
    FROM held, LATERAL (
        SELECT lane, tenant_id FROM deliveries
        WHERE lane IS NOT NULL AND (lane, tenant_id) > (held.lane, held.tenant_id)
        ORDER BY lane, tenant_id LIMIT 1) AS further
)
SELECT lane, tenant_id FROM held

-- name: empty_lane
-- Deliveries of a lane that nobody owns any more, due now; a page at a time.
WITH next AS (
    SELECT message_id, recipient_no FROM deliveries WHERE lane = %(lane)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE deliveries AS d SET lane = NULL, due_at = now()
FROM next WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])

-- name: parked_in
-- What waits in these lanes, each from a delivery on, at most so many of each.
SELECT asked.number, parked.* FROM unnest(
    %(lanes)s::text[], %(tenant_ids)s::text[], %(message_ids)s::text[], %(recipient_nos)s::int[]
) WITH ORDINALITY AS asked (lane, tenant_id, message_id, recipient_no, number), LATERAL (
    -- Said so that only the index of the lanes has this order.
    SELECT message_id, recipient_no, tenant_id, domain, pool, route FROM deliveries
    WHERE lane IS NOT NULL AND (lane, tenant_id, message_id) >= (asked.lane, asked.tenant_id, asked.message_id)
        AND (lane, tenant_id) <= (asked.lane, asked.tenant_id)
        AND (message_id, recipient_no) > (asked.message_id, asked.recipient_no)
    ORDER BY lane, tenant_id, message_id, recipient_no LIMIT %(each)s) AS parked
ORDER BY asked.number, parked.message_id, parked.recipient_no

-- name: leave_lanes
-- Deliveries that have another place than their lane by now, due now.
WITH next AS (
    SELECT d.message_id, d.recipient_no
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(lanes)s::text[]) AS k (message_id, recipient_no, lane)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    WHERE d.lane = k.lane
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d SET lane = NULL, due_at = now()
FROM next WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])
