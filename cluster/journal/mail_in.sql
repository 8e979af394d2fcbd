-- Mail that comes in, and what follows from it.

-- name: keep_mail_in
-- No row when the same mail came before.
INSERT INTO mail_in (at, kind, why, sender, mailbox, tenant_id, message_id, recipients, size, digest, original)
VALUES (%(at)s, %(kind)s, %(why)s, %(sender)s, %(mailbox)s, %(tenant_id)s, %(message_id)s, %(recipients)s, %(size)s,
    %(digest)s, %(original)s)
ON CONFLICT (digest) DO NOTHING RETURNING id

-- name: tell_effect
UPDATE mail_in SET effect = %(effect)s WHERE id = %(id)s

-- name: reported_message
-- The message that an address names; no row when it, or its tenant, is gone.
SELECT t.id, t.settings::text, m.batch_id, r.categories, m.to_emails, o.finished_at, m.subject, r.group_id, r.key_id,
    m.personal
FROM tenants t
JOIN messages m ON m.tenant_id = t.id AND m.id = %(message_id)s
JOIN requests r ON r.id = m.request_id
    AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text
LEFT JOIN outcomes o ON o.tenant_id = t.id AND o.message_id = %(message_id)s
WHERE t.number = %(tenant_number)s AND t.deleted_at IS NULL

-- name: return_one_of_many
-- moves: delivered, sent -> bounced (returned)
-- One recipient of an unfinished message. Returns the attempts.
UPDATE deliveries SET status = 'bounced', error_message = %(reason)s
WHERE message_id = %(message_id)s AND recipient_no = %(recipient_no)s AND tenant_id = %(tenant_id)s
    AND status IN ('delivered', 'sent')
RETURNING attempts

-- name: state_of_delivery
-- Of one recipient of an unfinished message.
SELECT status::text FROM deliveries
WHERE message_id = %(message_id)s AND recipient_no = %(recipient_no)s AND tenant_id = %(tenant_id)s

-- name: lock_outcome
SELECT status::text, recipients::text[], retry_count FROM outcomes
WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s FOR UPDATE

-- name: return_outcome
-- moves: delivered, sent -> bounced (returned)
-- The caller has locked the outcome. Where another recipient has the message, its status stays.
UPDATE outcomes SET recipients = %(recipients)s::delivery_status[], status = %(status)s::delivery_status,
    finished_at = CASE WHEN status = %(status)s::delivery_status THEN finished_at ELSE %(at)s END,
    error_message = %(reason)s
WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s AND status IN ('delivered', 'sent')

-- name: complain
-- No row when the recipient has complained of the message before.
INSERT INTO complaints (tenant_id, message_id, recipient_no, at)
VALUES (%(tenant_id)s, %(message_id)s, %(recipient_no)s, %(at)s)
ON CONFLICT DO NOTHING RETURNING recipient_no

-- name: open_windows
-- Hosts may report failures of these messages. The last recipient of a message counts.
INSERT INTO report_windows AS w (message_id, tenant_id, batch_id, due_at)
SELECT m.id, m.tenant_id, m.batch_id, %(due_at)s
FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[]) AS k (tenant_id, message_id)
JOIN messages m ON m.tenant_id = ANY (ARRAY[k.tenant_id]) AND m.id = ANY (ARRAY[k.message_id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
ORDER BY m.id
ON CONFLICT (message_id) DO UPDATE SET due_at = greatest(w.due_at, excluded.due_at)

-- name: prolong_windows
-- Those that are over while other recipients of the message are not finished.
UPDATE report_windows AS w SET due_at = now() + interval '10 s'
WHERE w.due_at <= now() AND EXISTS (SELECT FROM deliveries d WHERE d.message_id = w.message_id)

-- name: confirm
-- moves: sent -> delivered (confirmed)
-- Ends windows in which no report came. Returns how many messages of each batch are delivered now.
WITH due AS (
    SELECT message_id FROM report_windows WHERE due_at <= now() ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM report_windows AS w USING due WHERE w.message_id = ANY (ARRAY[due.message_id])
    RETURNING w.tenant_id, w.message_id, w.batch_id
), done AS (
    UPDATE outcomes AS o SET status = 'delivered', recipients = array_replace(o.recipients, 'sent', 'delivered')
    FROM gone
    WHERE o.tenant_id = ANY (ARRAY[gone.tenant_id]) AND o.message_id = ANY (ARRAY[gone.message_id])
        AND o.status = 'sent'
    RETURNING gone.batch_id
)
SELECT gone.batch_id, (SELECT count(*) FROM done WHERE done.batch_id IS NOT DISTINCT FROM gone.batch_id)
FROM gone GROUP BY gone.batch_id

-- name: mail_in_page
-- The newest first, before an id.
SELECT id, at, kind, effect, why, sender, mailbox, tenant_id, message_id, recipients, size, original IS NOT NULL
FROM mail_in
WHERE id < %(before)s AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    AND (%(message_id)s::text IS NULL OR message_id = %(message_id)s)
ORDER BY id DESC LIMIT %(limit)s

-- name: mail_in_originals
SELECT id, original FROM mail_in WHERE id = ANY (%(ids)s::bigint[]) AND original IS NOT NULL

-- name: forget_mail_in
-- What is too old, and the oldest beyond the most.
DELETE FROM mail_in WHERE id = ANY (ARRAY(
    SELECT id FROM mail_in WHERE at < %(before)s
        OR id <= (SELECT max(id) FROM mail_in) - %(most)s
    ORDER BY id LIMIT %(limit)s))
