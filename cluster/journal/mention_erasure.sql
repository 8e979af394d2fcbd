-- Erasing addresses from messages to others.

-- name: message_sizes
-- A page of a tenant's messages, with the octets of what each and its request have.
SELECT m.id, m.request_id, octet_length(m.personal), coalesce(octet_length(r.content), 0)
FROM messages m LEFT JOIN requests r ON r.id = m.request_id
WHERE m.tenant_id = %(tenant_id)s AND m.id > %(after)s AND m.id < %(before)s ORDER BY m.id LIMIT %(limit)s

-- name: message_texts
SELECT m.id, m.personal, m.told, m.subject, m.from_email, o.error_message
FROM messages m LEFT JOIN outcomes o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY (%(ids)s::text[])

-- name: request_texts
SELECT id, content, told FROM requests WHERE id = ANY (%(ids)s::text[])

-- name: note_mentions
WITH searched AS (UPDATE erase_jobs SET searched_to = %(searched_to)s WHERE id = %(job_id)s)
INSERT INTO erase_mentions (job_id, id, message_id)
SELECT %(job_id)s, n.id, n.message_id FROM unnest(%(ids)s::text[], %(message_ids)s::text[]) AS n (id, message_id)
ON CONFLICT DO NOTHING

-- name: noted_mentions
-- Whether each is finished. The ids of a request's messages were made at the same moment (ids.py).
SELECT e.id, NOT EXISTS (
    SELECT FROM messages m JOIN deliveries d ON d.message_id = m.id
    WHERE m.tenant_id = %(tenant_id)s AND (m.id = e.id OR m.request_id = e.id)
        AND m.id BETWEEN left(e.message_id, -16) || repeat('0', 16) AND left(e.message_id, -16) || repeat('Z', 16))
FROM erase_mentions e WHERE e.job_id = %(job_id)s AND e.id > %(after)s ORDER BY e.id LIMIT %(limit)s

-- name: rewrite_message
-- moves: nothing
WITH done AS (
    DELETE FROM erase_mentions WHERE job_id = %(job_id)s AND id = %(id)s
), o AS (
    UPDATE outcomes SET error_message = %(error_message)s WHERE tenant_id = %(tenant_id)s AND message_id = %(id)s
        AND error_message IS DISTINCT FROM %(error_message)s
)
-- What has gone since it was read does not come back.
UPDATE messages SET personal = CASE WHEN personal = '' THEN personal ELSE %(personal)s END, told = %(told)s, subject = %(subject)s, from_email = %(from_email)s
WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: rewrite_request
WITH done AS (DELETE FROM erase_mentions WHERE job_id = %(job_id)s AND id = %(id)s)
UPDATE requests SET content = CASE WHEN content = '' THEN content ELSE %(content)s END, told = %(told)s WHERE id = %(id)s

-- name: forget_mention
DELETE FROM erase_mentions WHERE job_id = %(job_id)s AND id = %(id)s
