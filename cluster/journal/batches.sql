-- Batches: counts, cancellation, and the commands for a whole batch.

-- name: create_batch
INSERT INTO batches (id, tenant_id) VALUES (%(id)s, %(tenant_id)s)

-- name: latest_batches
SELECT id, created_at FROM batches
WHERE tenant_id = %(tenant_id)s AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s

-- name: tenant_of_batch
SELECT tenant_id FROM batches WHERE id = %(batch_id)s

-- name: batch_exists
SELECT EXISTS (SELECT FROM batches WHERE id = %(batch_id)s AND tenant_id = %(tenant_id)s)

-- name: batch
-- Whether hosts may still report failures of its messages, too.
SELECT created_at, EXISTS (SELECT FROM report_windows WHERE batch_id = batches.id) FROM batches
WHERE id = %(batch_id)s AND tenant_id = %(tenant_id)s

-- name: batch_tallies
SELECT status::text, sum(messages)::bigint, max(last_at) FROM batch_tallies WHERE batch_id = %(batch_id)s GROUP BY status

-- name: batch_held
-- Messages of a batch that an actor holds. They are few, whatever the batch's size.
SELECT least_advanced::text, count(*) FROM (
    SELECT min(status) AS least_advanced FROM deliveries
    WHERE batch_id = %(batch_id)s AND status IN ('processing', 'rendered', 'sending')
    GROUP BY message_id) AS held
GROUP BY least_advanced

-- name: batch_left
-- What is unfinished of a batch of few messages, by where it goes and what it waits for.
SELECT d.domain, d.pool, d.route, d.lane, CASE
        WHEN d.paused_due_at IS NOT NULL THEN 'paused'
        WHEN d.status <> 'queued' OR d.lane IS NOT NULL OR d.due_at <= now() THEN 'turn'
        WHEN d.attempts > 0 THEN 'deferred'
        ELSE 'scheduled' END AS waits_for,
    count(*), max(d.due_at), (array_agg(d.message_id))[1:10]
FROM (SELECT id FROM messages WHERE tenant_id = %(tenant_id)s AND batch_id = %(batch_id)s LIMIT %(most)s) AS m
JOIN deliveries d ON d.message_id = ANY (ARRAY[m.id])
GROUP BY 1, 2, 3, 4, 5

-- name: batch_left_sampled
-- The same of a part of the pages of the queue, for a large batch: there is no index of what is queued by batch, which
-- every message would pay for.
SELECT d.domain, d.pool, d.route, d.lane, CASE
        WHEN d.paused_due_at IS NOT NULL THEN 'paused'
        WHEN d.status <> 'queued' OR d.lane IS NOT NULL OR d.due_at <= now() THEN 'turn'
        WHEN d.attempts > 0 THEN 'deferred'
        ELSE 'scheduled' END AS waits_for,
    count(*), max(d.due_at), (array_agg(d.message_id))[1:10]
FROM deliveries d TABLESAMPLE SYSTEM (%(percent)s)
WHERE d.batch_id = %(batch_id)s
GROUP BY 1, 2, 3, 4, 5

-- name: mark_cancelled
-- Records that the messages that are in a batch now are cancelled. No row when the tenant has no such batch.
UPDATE batches SET cancelled_at = clock_timestamp() WHERE id = %(batch_id)s AND tenant_id = %(tenant_id)s

-- name: messages_of_batch
-- The next messages of a batch, by id.
SELECT m.id, r.categories FROM messages m JOIN requests r ON r.id = m.request_id
WHERE m.batch_id = %(batch_id)s AND m.id > %(after)s
ORDER BY m.id LIMIT %(limit)s

-- name: lock_idle
-- Locks the deliveries of messages that are neither claimed nor locked by another transaction.
SELECT message_id, recipient_no, recipient, tenant_id, batch_id FROM deliveries
WHERE message_id = ANY (%(message_ids)s::text[]) AND status IN ('queued', 'processing')
FOR UPDATE SKIP LOCKED

-- name: left_of
-- How many deliveries messages have, and whether one of them is claimed or finished.
SELECT message_id, count(*), bool_or(status NOT IN ('queued', 'processing')) FROM deliveries
WHERE message_id = ANY (%(message_ids)s::text[])
GROUP BY message_id

-- name: cancel_messages
-- moves: queued, processing -> cancelled (cancelled)
-- Cancels messages; the caller has locked all their deliveries.
WITH gone AS (
    DELETE FROM deliveries WHERE message_id = ANY (%(message_ids)s::text[]) RETURNING tenant_id, message_id, attempts
)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT tenant_id, message_id, 'cancelled', %(at)s, greatest(max(attempts) - 1, 0) FROM gone
GROUP BY tenant_id, message_id

-- name: share_batches
-- Keeps the entries of batches unchanged until the transaction ends. Many transactions may share the lock, and it
-- writes nothing.
SELECT pg_advisory_xact_lock_shared(hashtextextended(id, 0)) FROM unnest(%(batch_ids)s::text[]) AS b (id)

-- name: own_batch
-- Waits until no other transaction shares the batch (share_batches), and makes others wait until this one ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(batch_id)s::text, 0))

-- name: scheduled_of
SELECT batch_id, status FROM scheduled_sends WHERE batch_id = ANY (%(batch_ids)s::text[]) AND status <> 'resume'

-- name: commanded_of_batch
-- The command that applies to a message of a batch: 'pause', 'cancel', or NULL. A cancellation without an entry
-- (cancelled_at) applies to the messages that were in the batch at that time.
SELECT CASE WHEN s.status = 'cancel' OR b.cancelled_at >= %(accepted_at)s THEN 'cancel' ELSE s.status END
FROM batches b LEFT JOIN scheduled_sends s ON s.batch_id = b.id AND s.status <> 'resume'
WHERE b.id = %(batch_id)s

-- name: hold
-- moves: queued, processing -> queued (paused)
-- Until the batch is resumed, only the end of its lifetime makes a held delivery due.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, lane = NULL, due_at = d.expires_at,
    paused_due_at = CASE WHEN d.status = 'queued' AND d.lane IS NULL THEN d.due_at ELSE now() END
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    AND d.status IN ('queued', 'processing') AND d.paused_due_at IS NULL
