-- Claims and outcomes, and the length of the queue.

-- name: claim
-- moves: queued, processing -> sending (claimed)
-- The fence. A delivery that is not returned was cancelled, paused, finished, has expired, was moved to another pool or
-- route, or another transaction or owner has it. One that is suppressed comes with the name of the list, and the
-- categories for its event: what was put on a list before this statement began holds.
WITH mine AS (
    SELECT d.message_id, d.recipient_no, d.tenant_id
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(pools)s::text[], %(routes)s::text[])
        AS k (message_id, recipient_no, pool, route)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    WHERE d.status IN ('queued', 'processing') AND d.expires_at > now() AND d.pool = k.pool AND d.route = k.route
        -- No delivery of a paused batch is claimed. paused_due_at is in the locked row itself, so that a claim that
        -- began before the pause and reaches the row after it misses too.
        AND (d.batch_id IS NULL OR (d.paused_due_at IS NULL
            AND NOT EXISTS (SELECT FROM scheduled_sends s WHERE s.batch_id = d.batch_id AND s.status = 'pause')))
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d
SET status = 'sending', attempts = attempts + 1, owner = %(owner)s, lane = NULL,
    due_at = now() + make_interval(secs => %(lease_s)s)
FROM mine JOIN messages m ON m.tenant_id = ANY (ARRAY[mine.tenant_id]) AND m.id = ANY (ARRAY[mine.message_id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
WHERE d.message_id = ANY (ARRAY[mine.message_id]) AND d.recipient_no = ANY (ARRAY[mine.recipient_no])
RETURNING d.message_id, d.recipient_no, d.recipient, d.domain, d.tenant_id, m.request_id, d.batch_id, d.attempts,
    d.alone, m.created_at, coalesce(m.send_at, m.created_at),
    greatest(coalesce(m.send_at, m.created_at), d.released_at), d.expires_at, m.personal,
    (SELECT s.name || (SELECT r.categories FROM requests r WHERE r.id = m.request_id
        AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text)
     FROM suppression_of(d.tenant_id, coalesce(d.address, address_of(d.recipient, d.domain)), d.group_id, d.bypass) s)

-- name: commit_sole_recipients
-- moves: queued, processing, sending -> delivered (accepted)
-- moves: queued, processing, sending -> sent (relayed)
-- moves: queued, processing, sending -> bounced (rejected, expired)
-- moves: queued, processing, sending -> failed (gave_up, suppressed)
-- moves: sending -> queued (deferred)
-- Ends messages with one recipient, sets the time of the next attempt of others, appends to the log, tallies and counts
-- for the tenants' rates, in one statement: a round trip costs as much as the work for ten messages. Only the owner of
-- the claim can defer. No delivery is both ended and deferred. What had ended before is neither tallied nor counted: a
-- commit whose answer was lost is repeated.
WITH gone AS (
    DELETE FROM deliveries AS d
    USING unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(statuses)s::text[], %(errors)s::text[],
        %(counts_as)s::text[]) AS t (message_id, recipient_no, status, error_message, counts_as)
    WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no])
    RETURNING d.tenant_id, d.message_id, d.batch_id, t.status::delivery_status AS status, d.attempts, t.error_message,
        t.counts_as
), kept AS (
    INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message)
    SELECT tenant_id, message_id, status, %(at)s, greatest(attempts - 1, 0), error_message FROM gone
), deferred AS (
    UPDATE deliveries AS d
    SET status = 'queued', owner = NULL, due_at = t.due_at, error_message = t.error_message
    FROM unnest(%(deferred_ids)s::text[], %(deferred_nos)s::int[], %(due_ats)s::timestamptz[], %(reasons)s::text[])
        AS t (message_id, recipient_no, due_at, error_message)
    WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no])
        AND d.status = 'sending' AND d.owner IS NOT DISTINCT FROM %(owner)s
), logged AS (
    INSERT INTO event_log (events) VALUES (%(events)s)
), counted AS (
    INSERT INTO tenant_ends AS e (tenant_id, shard, ended, hard, delivered, complaints)
    SELECT tenant_id, %(shard)s, count(*), count(*) FILTER (WHERE counts_as = 'hard'),
        count(*) FILTER (WHERE counts_as = 'delivered'), 0
    FROM gone WHERE counts_as IS NOT NULL GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id, shard) DO UPDATE
    SET ended = e.ended + excluded.ended, hard = e.hard + excluded.hard, delivered = e.delivered + excluded.delivered
)
INSERT INTO batch_tallies (batch_id, shard, status, messages, last_at)
SELECT batch_id, %(shard)s, status, count(*), %(at)s FROM gone
WHERE batch_id IS NOT NULL GROUP BY batch_id, status ORDER BY batch_id, status
ON CONFLICT (batch_id, shard, status)
DO UPDATE SET messages = batch_tallies.messages + excluded.messages, last_at = excluded.last_at

-- name: times_claimed
-- How often unfinished deliveries have been claimed.
SELECT d.message_id, d.recipient_no, d.attempts
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
WHERE d.status IN ('queued', 'processing', 'rendered', 'sending')

-- name: unclaim
-- moves: processing, sending -> queued (unclaimed)
-- Due now: the answer to the owner's claim was lost, so the owner does not send these deliveries.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, due_at = now()
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    AND d.status IN ('processing', 'sending') AND d.owner IS NOT DISTINCT FROM %(owner)s

-- name: backlog
-- The size of the queue. A table of up to 4 MB, some 20,000 deliveries, is counted; of a larger one it is Postgres' own
-- count of inserts and deletes, some seconds old. That one never falls below zero, and processes report to it when they
-- like: deletes that are reported before their inserts are lost to it until the next vacuum.
SELECT CASE WHEN pg_relation_size('deliveries') <= 4194304 THEN (SELECT count(*) FROM deliveries)
    ELSE pg_stat_get_live_tuples('deliveries'::regclass) END

-- name: count_backlog
-- Estimates the count again, from a sample of bounded size: Postgres loses it when it crashes.
ANALYZE deliveries

-- name: queue_ages
-- The size of the queue, as in backlog; the first message by its id, which tells when it was accepted; and for how long
-- what is due first has been due: one index lookup for each.
SELECT CASE WHEN pg_relation_size('deliveries') <= 4194304 THEN (SELECT count(*) FROM deliveries)
    ELSE pg_stat_get_live_tuples('deliveries'::regclass) END,
    (SELECT message_id FROM deliveries ORDER BY message_id LIMIT 1),
    (SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float8 FROM deliveries)
