-- Due deliveries: leases and lanes.

-- name: due
-- Locks the rows that are due or whose lease or lifetime has ended, oldest first, until the transaction ends.
SELECT message_id, recipient_no, tenant_id, domain, recipient, batch_id, attempts, alone, expires_at <= now(),
    status::text, error_message, pool, route
FROM deliveries
WHERE due_at <= now()
ORDER BY due_at LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: outlive_suspension
-- Extends the lifetime of deliveries that would end while their tenant is suspended, or within after_s of its end. One of
-- a paused batch stays where it is; the others are to be leased or parked.
WITH mine AS (
    SELECT d.message_id, d.recipient_no, make_interval(secs => %(after_s)s)
        + CASE WHEN t.suspended_at IS NOT NULL THEN now() ELSE t.resumed_at END AS expires_at
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    JOIN tenants t ON t.id = d.tenant_id
    WHERE t.suspended_at IS NOT NULL OR t.resumed_at + make_interval(secs => %(after_s)s) > now()
)
UPDATE deliveries AS d
SET expires_at = mine.expires_at,
    due_at = CASE WHEN d.paused_due_at IS NOT NULL THEN mine.expires_at ELSE d.due_at END
FROM mine WHERE d.message_id = ANY (ARRAY[mine.message_id]) AND d.recipient_no = ANY (ARRAY[mine.recipient_no])
RETURNING d.message_id, d.recipient_no, d.paused_due_at IS NOT NULL

-- name: next_due
-- The least due_at is the first entry of its index, whatever the planner assumes about the other rows.
SELECT extract(epoch FROM least(min(due_at), now() + interval '1 day') - now())::float8 FROM deliveries

-- name: lease
-- moves: queued, processing, sending -> processing (leased)
-- Leases deliveries to the owner that dispatch chose, at most until their lifetime ends. The lease of a sending
-- delivery has expired.
UPDATE deliveries AS d
SET status = 'processing', owner = k.owner, lane = NULL, due_at = least(now() + make_interval(secs => %(lease_s)s), d.expires_at)
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(owners)s::bigint[]) AS k (message_id, recipient_no, owner)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])

-- name: park
-- moves: queued, processing, sending -> queued (parked)
-- The owner had no room: the delivery waits in its lane, and is due again when its lifetime ends. The lease of a
-- sending delivery has expired.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, lane = k.lane, due_at = d.expires_at
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(lanes)s::text[]) AS k (message_id, recipient_no, lane)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    AND (d.status IN ('queued', 'processing') OR (d.status = 'sending' AND d.due_at <= now()))

-- name: lease_from_lanes
-- moves: queued -> processing (leased)
-- Leases the oldest parked deliveries to the owner of the lanes, lane after lane.
WITH asked AS (
    SELECT * FROM unnest(%(lanes)s::text[], %(tenant_ids)s::text[], %(limits)s::bigint[])
    WITH ORDINALITY AS asked (lane, tenant_id, most, number)
), next AS (
    SELECT asked.number, parked.message_id, parked.recipient_no FROM asked, LATERAL (
        -- Written so that only the index of the lanes has this order.
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
-- Every lane that is not empty: one index lookup for each, whatever its size.
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
-- Makes the deliveries of a lane that no longer has an owner due now, a page at a time.
WITH next AS (
    SELECT message_id, recipient_no FROM deliveries WHERE lane = %(lane)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE deliveries AS d SET lane = NULL, due_at = now()
FROM next WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])

-- name: parked_in
-- The deliveries in these lanes after a position in each; limited per lane.
SELECT asked.number, parked.* FROM unnest(
    %(lanes)s::text[], %(tenant_ids)s::text[], %(message_ids)s::text[], %(recipient_nos)s::int[]
) WITH ORDINALITY AS asked (lane, tenant_id, message_id, recipient_no, number), LATERAL (
    -- Written so that only the index of the lanes has this order.
    SELECT message_id, recipient_no, tenant_id, domain, pool, route FROM deliveries
    WHERE lane IS NOT NULL AND (lane, tenant_id, message_id) >= (asked.lane, asked.tenant_id, asked.message_id)
        AND (lane, tenant_id) <= (asked.lane, asked.tenant_id)
        AND (message_id, recipient_no) > (asked.message_id, asked.recipient_no)
    ORDER BY lane, tenant_id, message_id, recipient_no LIMIT %(each)s) AS parked
ORDER BY asked.number, parked.message_id, parked.recipient_no

-- name: leave_lanes
-- Makes deliveries that no longer belong in their lane due now.
WITH next AS (
    SELECT d.message_id, d.recipient_no
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(lanes)s::text[]) AS k (message_id, recipient_no, lane)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    WHERE d.lane = k.lane
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d SET lane = NULL, due_at = now()
FROM next WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])

-- name: personalizations
-- What differs in each of these messages, as it was stored.
SELECT DISTINCT m.id, m.personal
FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[]) AS k (tenant_id, message_id)
JOIN messages m ON m.tenant_id = ANY (ARRAY[k.tenant_id]) AND m.id = ANY (ARRAY[k.message_id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
