-- The commands that clients give for one message: cancel, retry, fail.

-- name: lock_deliveries
-- Locks the deliveries of one message, for a decision about all of them.
SELECT d.recipient, d.status::text, d.batch_id, r.categories
FROM deliveries d JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
JOIN requests r ON r.id = m.request_id
WHERE d.message_id = %(message_id)s AND d.tenant_id = %(tenant_id)s
ORDER BY d.recipient_no FOR UPDATE OF d

-- name: cancel_message
-- moves: queued, processing -> cancelled (cancelled)
-- Cancels a message; the caller has locked all its deliveries.
WITH gone AS (
    DELETE FROM deliveries WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s RETURNING attempts
)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT %(tenant_id)s, %(message_id)s, 'cancelled', %(at)s, greatest(max(attempts) - 1, 0) FROM gone

-- name: status_of
SELECT coalesce(
    (SELECT status FROM outcomes WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s),
    (SELECT min(status) FROM deliveries WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s))::text

-- name: requeue
-- moves: processing, sending -> queued (retried)
-- Due now or at its future send time, with a new lifetime from then. The lease of a sending delivery has expired.
-- Returns the deliveries.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, lane = NULL, due_at = greatest(now(), m.send_at),
    expires_at = greatest(now(), m.send_at) + make_interval(secs => %(lifetime_s)s)
FROM messages m
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s
    AND d.message_id = %(message_id)s AND d.tenant_id = %(tenant_id)s AND d.status IN ('processing', 'sending')
RETURNING d.message_id, d.recipient_no

-- name: take_outcome
-- moves: nothing
-- Deletes the outcome before deliver_anew, unless an SMTP transaction from before the failure may be under way.
DELETE FROM outcomes
WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s AND status IN ('failed', 'bounced')
    AND (busy_until IS NULL OR busy_until <= now())
RETURNING status::text, recipients::text[]

-- name: suppressed_again
-- The recipients of a finished message that could be retried who are suppressed now, each with the list, and the
-- message's outcome.
SELECT (k.number - 1)::int, s.name, o.status::text, o.recipients::text[]
FROM outcomes o
CROSS JOIN unnest(%(recipients)s::text[], %(domains)s::text[], %(addresses)s::text[])
    WITH ORDINALITY AS k (recipient, domain, address, number)
CROSS JOIN LATERAL suppression_of(o.tenant_id, coalesce(k.address, address_of(k.recipient, k.domain)),
    %(group_id)s::int, %(bypass)s::int2) s
WHERE o.tenant_id = %(tenant_id)s AND o.message_id = %(message_id)s AND o.status IN ('failed', 'bounced')
    AND (o.busy_until IS NULL OR o.busy_until <= now())

-- name: deliver_anew
-- moves: failed, bounced -> queued (retried)
-- Due now or at its future send time. Recipients who have the message stay finished, for the fold. Returns the new
-- deliveries.
INSERT INTO deliveries (message_id, recipient_no, tenant_id, batch_id, domain, recipient, status, due_at, expires_at, alone,
    pool, address, group_id, bypass)
SELECT m.id, k.number - 1, m.tenant_id, m.batch_id, k.domain, k.recipient, k.status::delivery_status,
    CASE WHEN k.status = 'queued' THEN greatest(now(), m.send_at) ELSE 'infinity' END,
    greatest(now(), m.send_at) + make_interval(secs => %(lifetime_s)s), %(sole_recipient)s, r.pool, k.address,
    %(group_id)s::int, %(bypass)s::int2
FROM messages m JOIN requests r ON r.id = m.request_id
CROSS JOIN unnest(%(recipients)s::text[], %(domains)s::text[], %(statuses)s::text[], %(addresses)s::text[])
    WITH ORDINALITY AS k (recipient, domain, status, address, number)
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s
RETURNING message_id, recipient_no

-- name: fail_message
-- moves: queued, processing, sending -> failed (failed)
-- Fails the whole message. The outcome keeps the status of recipients who have the message already.
WITH gone AS (
    DELETE FROM deliveries WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s
    RETURNING recipient_no, status, attempts, due_at
)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message, busy_until, recipients)
SELECT %(tenant_id)s, %(message_id)s, 'failed', %(at)s, greatest(max(attempts) - 1, 0), %(error_message)s,
    max(due_at) FILTER (WHERE status = 'sending'),
    CASE WHEN bool_or(status IN ('delivered', 'sent')) THEN array_agg(status ORDER BY recipient_no) END
FROM gone HAVING count(*) > 0
