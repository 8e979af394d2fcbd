-- Pausing, cancelling and resuming whole batches.

-- name: schedule
-- Adds a pause or cancellation, or replaces an entry that is being resumed. No row when there is a different entry.
INSERT INTO scheduled_sends (batch_id, tenant_id, status) VALUES (%(batch_id)s, %(tenant_id)s, %(status)s)
ON CONFLICT (batch_id) DO UPDATE SET status = excluded.status, settled = false, changed_at = clock_timestamp()
WHERE scheduled_sends.status IN ('resume', excluded.status)

-- name: reschedule
UPDATE scheduled_sends SET status = %(status)s, settled = false, changed_at = clock_timestamp()
WHERE batch_id = %(batch_id)s AND tenant_id = %(tenant_id)s AND status <> 'resume'

-- name: scheduled_sends
SELECT batch_id, status FROM scheduled_sends
WHERE tenant_id = %(tenant_id)s AND batch_id = coalesce(%(batch_id)s, batch_id) AND status <> 'resume'
ORDER BY batch_id DESC LIMIT %(limit)s

-- name: unsettled
-- Commands that were begun and not finished: their process is slow or dead.
SELECT tenant_id, batch_id FROM scheduled_sends
WHERE NOT settled AND changed_at < now() - make_interval(secs => %(age_s)s)
ORDER BY changed_at LIMIT %(limit)s

-- name: scheduled
SELECT status, changed_at FROM scheduled_sends WHERE batch_id = %(batch_id)s AND NOT settled

-- name: still_scheduled
-- Whether the batch still has this status; if so, keeps it until the transaction ends.
SELECT FROM scheduled_sends WHERE batch_id = %(batch_id)s AND status = %(status)s FOR SHARE

-- name: mark_settled
UPDATE scheduled_sends SET settled = true
WHERE batch_id = %(batch_id)s AND status = %(status)s AND changed_at = %(changed_at)s

-- name: not_held
-- Messages with deliveries that could be held but are not.
SELECT DISTINCT message_id FROM deliveries
WHERE message_id = ANY (%(message_ids)s::text[]) AND status IN ('queued', 'processing') AND paused_due_at IS NULL

-- name: release_paused
-- moves: queued -> queued (resumed)
-- Releases held deliveries, a page at a time. One that was tried before the pause keeps its Date and its due time. One
-- that was not is due at its send time, or now: it need not wait for the direct offer any longer.
WITH next AS (
    SELECT message_id, recipient_no, tenant_id FROM deliveries
    WHERE batch_id = %(batch_id)s AND paused_due_at IS NOT NULL
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE deliveries AS d
SET paused_due_at = NULL, lane = NULL, released_at = CASE WHEN d.attempts = 0 THEN now() ELSE d.released_at END,
    due_at = CASE
        WHEN d.status NOT IN ('queued', 'processing') THEN d.due_at
        WHEN d.attempts = 0 THEN least(d.paused_due_at, coalesce(m.send_at, now()))
        ELSE d.paused_due_at
    END
FROM next JOIN messages m ON m.tenant_id = next.tenant_id AND m.id = next.message_id
WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])

-- name: anything_held
SELECT FROM deliveries WHERE batch_id = %(batch_id)s AND paused_due_at IS NOT NULL LIMIT 1

-- name: forget_schedule
-- Ends a resume once no delivery is held.
DELETE FROM scheduled_sends s
WHERE s.batch_id = %(batch_id)s AND s.status = 'resume'
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.batch_id = s.batch_id AND d.paused_due_at IS NOT NULL)
