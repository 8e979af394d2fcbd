-- Messages as clients read them, and the content that composing needs.

-- name: messages
-- One message or a list of them, newest first. messages.py builds {where} from fixed conditions. Content and personal
-- are NULL when they have more than %(whole)s octets together. The last columns are for messages whose bodies have gone.
SELECT m.id, m.tenant_id, m.request_id, m.batch_id, m.created_at, m.send_at, m.subject,
    CASE WHEN octet_length(r.content) + octet_length(m.personal) <= %(whole)s THEN r.content END,
    CASE WHEN octet_length(r.content) + octet_length(m.personal) <= %(whole)s THEN m.personal END,
    coalesce(o.status, q.status)::text, coalesce(o.retry_count, greatest(q.attempts - 1, 0)),
    CASE WHEN q.attempts > 0 AND q.status = 'queued' THEN q.due_at END, o.finished_at,
    coalesce(o.error_message, q.error_message), octet_length(r.content) = 0 OR octet_length(m.personal) = 0,
    CASE WHEN octet_length(r.content) = 0 OR octet_length(m.personal) = 0 THEN m.from_email END,
    CASE WHEN octet_length(r.content) = 0 OR octet_length(m.personal) = 0 THEN m.to_emails END,
    CASE WHEN octet_length(r.content) = 0 OR octet_length(m.personal) = 0 THEN r.categories END,
    CASE WHEN octet_length(r.content) = 0 OR octet_length(m.personal) = 0 THEN r.template_id END
FROM messages m
JOIN requests r ON r.id = m.request_id
LEFT JOIN outcomes o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
LEFT JOIN LATERAL (
    SELECT min(status) AS status, max(attempts) AS attempts, min(error_message) AS error_message,
        min(due_at) FILTER (WHERE lane IS NULL AND paused_due_at IS NULL AND isfinite(due_at)) AS due_at
    FROM deliveries d WHERE d.message_id = m.id) q ON true
WHERE {where}
ORDER BY m.id DESC LIMIT %(limit)s OFFSET %(offset)s

-- name: tenant_of_message
-- Whose message this is, by one look into the index for each tenant.
SELECT tenant_id FROM messages
WHERE tenant_id = ANY (ARRAY(SELECT id FROM tenants)) AND id = %(message_id)s LIMIT 1

-- name: texts
SELECT r.content, m.personal FROM messages m JOIN requests r ON r.id = m.request_id
    AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s

-- name: count_messages
SELECT count(*) FROM (
    SELECT FROM messages m
    JOIN requests r ON r.id = m.request_id
    LEFT JOIN outcomes o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
    LEFT JOIN LATERAL (SELECT min(status) AS status FROM deliveries d WHERE d.message_id = m.id) q ON true
    WHERE {where} LIMIT %(bound)s) AS found

-- name: contents
SELECT r.id, r.content FROM requests r WHERE r.id = ANY (%(request_ids)s::text[])
    AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text

-- name: pool_of_request
SELECT pool FROM requests WHERE id = %(request_id)s

-- name: attachments
-- Files of before migration 0011 have no tenant.
SELECT DISTINCT ON (sha256) sha256, content FROM attachments
WHERE tenant_id = ANY (ARRAY[%(tenant_id)s, '']) AND sha256 = ANY (%(hashes)s::bytea[])
ORDER BY sha256, tenant_id DESC

-- name: message_mark
-- The message so many behind the one before it, newest first: ids begin with letters, so every id is less than "~".
SELECT id FROM messages WHERE tenant_id = %(tenant_id)s AND id < %(before)s ORDER BY id DESC OFFSET %(skip)s LIMIT 1

-- name: message_ids_after
SELECT id FROM messages
WHERE tenant_id = %(tenant_id)s AND id > %(after)s AND id < %(before)s ORDER BY id LIMIT %(limit)s
