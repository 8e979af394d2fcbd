-- Everything that the journal knows of one message, for operators.

-- name: fate
-- A message of any tenant and its outcome. The index begins with the tenant, so this makes one lookup per tenant.
SELECT t.id, m.batch_id, m.created_at, m.send_at, m.personal, o.status::text, o.finished_at, o.error_message,
    EXISTS (SELECT FROM scheduled_sends s WHERE s.batch_id = m.batch_id AND s.status = 'pause'), r.content,
    m.from_email, m.to_emails, m.subject, r.group_id
FROM tenants t
CROSS JOIN LATERAL (SELECT * FROM messages WHERE tenant_id = t.id AND id = %(message_id)s LIMIT 1) AS m
JOIN requests r ON r.id = m.request_id
LEFT JOIN outcomes o ON o.tenant_id = t.id AND o.message_id = m.id

-- name: standings
-- The deliveries of an unfinished message, and who holds them.
SELECT d.recipient_no, d.recipient, d.domain, d.pool, d.status::text, d.attempts,
    CASE WHEN isfinite(d.due_at) THEN d.due_at END, d.expires_at, d.lane,
    d.paused_due_at IS NOT NULL, d.owner IS NOT NULL, a.name, d.error_message,
    (SELECT count(DISTINCT life) FROM strikes s WHERE s.message_id = d.message_id), d.route, r.pool
FROM deliveries d JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
JOIN requests r ON r.id = m.request_id
LEFT JOIN delivery_actors a ON a.epoch = d.owner
WHERE d.message_id = %(message_id)s ORDER BY d.recipient_no
