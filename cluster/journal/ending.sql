-- How deliveries end: the outcome, the fold of a message, and the tallies of its batch.

-- name: lock_message
-- Locks one message: serialises a command with the fold and with other commands.
SELECT m.batch_id, r.categories, m.created_at FROM messages m JOIN requests r ON r.id = m.request_id
    AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s FOR NO KEY UPDATE OF m

-- name: lock_states
-- Locks the deliveries of one message; returns whether an SMTP transaction may be under way for each.
SELECT recipient_no, recipient, status::text, status = 'sending' AND due_at > now() FROM deliveries
WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s
ORDER BY recipient_no FOR UPDATE

-- name: lock_messages
-- Locks messages with several recipients: serialises their fold.
SELECT FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[]) AS k (tenant_id, id)
JOIN messages m ON m.tenant_id = ANY (ARRAY[k.tenant_id]) AND m.id = ANY (ARRAY[k.id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
ORDER BY m.tenant_id, m.id FOR NO KEY UPDATE OF m

-- name: finish_sole_recipient
-- moves: queued, processing, sending -> delivered (accepted)
-- moves: queued, processing, sending -> sent (relayed)
-- moves: queued, processing, sending -> bounced (rejected, expired)
-- moves: queued, processing, sending -> failed (gave_up, suppressed, expired_untried, set_aside, failed)
-- Ends messages with one recipient. An outcome is a fact: it counts even when another owner has the lease now. Returns
-- those that had not ended before.
WITH told AS (
    SELECT * FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(statuses)s::text[], %(errors)s::text[])
        AS t (message_id, recipient_no, status, error_message)
), gone AS (
    DELETE FROM deliveries AS d USING told AS t
    WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no])
    RETURNING d.tenant_id, d.message_id, d.recipient_no, d.batch_id, t.status::delivery_status AS status, d.attempts,
        t.error_message
), kept AS (
    INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message)
    SELECT tenant_id, message_id, status, %(at)s, greatest(attempts - 1, 0), error_message FROM gone
)
SELECT message_id, recipient_no, batch_id, status::text FROM gone

-- name: finish_one_of_many
-- moves: queued, processing, sending -> delivered (accepted)
-- moves: queued, processing, sending -> sent (relayed)
-- moves: queued, processing, sending -> bounced (rejected, expired)
-- moves: queued, processing, sending -> failed (gave_up, suppressed, expired_untried, set_aside, failed)
-- Ends one of several recipients. The row stays until the whole message is finished. Returns those that had not ended
-- before.
UPDATE deliveries AS d
SET status = t.status::delivery_status, owner = NULL, lane = NULL, paused_due_at = NULL, due_at = 'infinity',
    error_message = t.error_message
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(statuses)s::text[], %(errors)s::text[])
    AS t (message_id, recipient_no, status, error_message)
WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no])
    AND d.status IN ('queued', 'processing', 'rendered', 'sending')
RETURNING d.message_id, d.recipient_no

-- name: fold_finished
-- moves: nothing
-- Ends messages all of whose recipients are finished; the outcome is the fold of theirs, and keeps each where they
-- differ. Returns the changes to the batches' tallies.
WITH whole AS (
    SELECT tenant_id, message_id, min(batch_id) AS batch_id, min(status) AS status, max(attempts) AS attempts,
        CASE WHEN bool_and(status = 'failed' AND coalesce(starts_with(error_message, %(suppressed)s), false))
            THEN %(all_suppressed)s
            ELSE coalesce(min(error_message) FILTER (WHERE NOT starts_with(error_message, %(suppressed)s)),
                min(error_message)) END AS error_message,
        CASE WHEN min(status) < max(status) THEN array_agg(status ORDER BY recipient_no) END AS recipients
    FROM deliveries WHERE message_id = ANY (%(message_ids)s::text[])
    GROUP BY tenant_id, message_id HAVING min(status) > 'sending'
), gone AS (
    DELETE FROM deliveries USING whole WHERE deliveries.message_id = ANY (ARRAY[whole.message_id])
), kept AS (
    INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message, recipients)
    SELECT tenant_id, message_id, status, %(at)s, greatest(attempts - 1, 0), error_message, recipients FROM whole
)
SELECT batch_id, status::text, count(*) FROM whole WHERE batch_id IS NOT NULL GROUP BY batch_id, status

-- name: tally
INSERT INTO batch_tallies (batch_id, shard, status, messages, last_at)
SELECT batch_id, %(shard)s, status::delivery_status, messages, %(at)s
FROM unnest(%(batch_ids)s::text[], %(statuses)s::text[], %(messages)s::bigint[]) AS t (batch_id, status, messages)
ORDER BY batch_id, status
ON CONFLICT (batch_id, shard, status)
DO UPDATE SET messages = batch_tallies.messages + excluded.messages, last_at = excluded.last_at
