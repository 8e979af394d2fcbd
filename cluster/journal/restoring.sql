-- A journal that was restored from a backup, before anything is sent from it.

-- name: unfinished_page
-- The next unfinished deliveries. is_scheduled: the message may not be sent yet.
SELECT d.message_id, d.recipient_no, d.recipient, d.tenant_id, d.alone, coalesce(m.send_at > now(), false)
FROM deliveries d JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
WHERE (d.message_id, d.recipient_no) > (%(message_id)s::text, %(recipient_no)s::int)
    AND d.status IN ('queued', 'processing', 'rendered', 'sending')
ORDER BY d.message_id, d.recipient_no LIMIT %(limit)s

-- name: count_unfinished
SELECT count(*) FROM deliveries WHERE status IN ('queued', 'processing', 'rendered', 'sending')

-- name: prolong_unfinished
-- moves: nothing
-- The time between the backup and now does not count towards lifetimes.
UPDATE deliveries SET expires_at = expires_at + make_interval(secs => %(seconds)s)
WHERE status IN ('queued', 'processing', 'rendered', 'sending')

-- name: become_another
UPDATE installation SET id = gen_random_uuid()

-- name: known_messages
SELECT m.id
FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[]) AS k (tenant_id, id)
JOIN messages m ON m.tenant_id = ANY (ARRAY[k.tenant_id]) AND m.id = ANY (ARRAY[k.id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text

-- name: transaction_epoch
SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::bigint >> 32)::int
