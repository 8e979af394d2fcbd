-- Bodies of tenants that keep them for a shorter time than the settings say.

-- name: tenants_keeping_less
SELECT t.id, (t.settings ->> 'bodies_days')::int, coalesce(b.looked_upto, ''), b.looked_again, b.files_before
FROM tenants t LEFT JOIN tenant_bodies b ON b.tenant_id = t.id
WHERE t.settings ? 'bodies_days' AND t.erased_at IS NULL ORDER BY t.id

-- name: forget_tenants_keeping_all
-- Of tenants that keep bodies as long as others again.
WITH gone AS (
    DELETE FROM tenant_bodies b WHERE NOT EXISTS (
        SELECT FROM tenants t WHERE t.id = b.tenant_id AND t.settings ? 'bodies_days' AND t.erased_at IS NULL)
    RETURNING tenant_id
)
DELETE FROM tenant_bodies_waiting USING gone WHERE tenant_bodies_waiting.tenant_id = gone.tenant_id

-- name: next_to_clear
-- The next messages of a tenant, by id, and whether they have their bodies.
SELECT id, octet_length(personal) > 0 FROM messages WHERE tenant_id = %(tenant_id)s AND id > %(after)s AND id < %(before)s ORDER BY id LIMIT %(limit)s

-- name: due_to_clear
SELECT tenant_id, message_id FROM tenant_bodies_waiting WHERE look_at <= %(now)s ORDER BY look_at LIMIT %(limit)s

-- name: lock_to_clear
-- Those that no command and no fold has locked. A retry waits, and then sees what has gone.
SELECT m.id, m.request_id FROM messages m
WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY (%(ids)s::text[])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
FOR NO KEY UPDATE SKIP LOCKED

-- name: there_to_clear
SELECT m.id FROM messages m
WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY (%(ids)s::text[])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text

-- name: clear_messages
-- Of locked messages, those that are finished, and on which no host may report any more.
UPDATE messages m SET personal = ''
WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY (%(ids)s::text[])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = ANY (ARRAY[m.id]))
    AND NOT EXISTS (SELECT FROM report_windows w WHERE w.message_id = ANY (ARRAY[m.id]))
RETURNING m.id, m.request_id

-- name: clear_requests
-- Those none of whose messages has its body. The ids of a request's messages are made at one moment, from first to last.
-- With OFFSET it is a look-up for each request; else it may read all that the tenant sent within hours.
UPDATE requests r SET content = ''
WHERE r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text AND r.id = ANY (ARRAY (
    SELECT k.id FROM unnest(%(request_ids)s::text[], %(firsts)s::text[], %(lasts)s::text[]) AS k (id, first, last)
    WHERE NOT EXISTS (
        SELECT FROM messages m WHERE m.tenant_id = %(tenant_id)s AND m.id >= k.first AND m.id <= k.last
            AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
            AND m.request_id = k.id AND octet_length(m.personal) > 0
        OFFSET 0)))

-- name: wait_to_clear
INSERT INTO tenant_bodies_waiting (tenant_id, message_id, look_at)
SELECT %(tenant_id)s, * FROM unnest(%(ids)s::text[], %(look_ats)s::timestamptz[])
ON CONFLICT (tenant_id, message_id) DO UPDATE SET look_at = excluded.look_at

-- name: done_clearing
DELETE FROM tenant_bodies_waiting WHERE tenant_id = %(tenant_id)s AND message_id = ANY (%(ids)s::text[])

-- name: looked_through
INSERT INTO tenant_bodies (tenant_id, looked_upto) VALUES (%(tenant_id)s, %(upto)s)
ON CONFLICT (tenant_id) DO UPDATE SET looked_upto = excluded.looked_upto

-- name: look_again
-- At what is after this id.
UPDATE tenant_bodies SET looked_upto = least(looked_upto, %(after)s), looked_again = %(day)s WHERE tenant_id = %(tenant_id)s

-- name: requests_with_bodies
-- Where a page of messages that keep their bodies ends, NULL: it is empty; and the requests of the tenant's among them:
-- what is unfinished, what hosts may still report on, and what is to be looked at again.
WITH page AS (
    SELECT message_id, tenant_id FROM (
        (SELECT DISTINCT message_id, tenant_id FROM deliveries
            WHERE message_id > %(after)s AND message_id < %(before)s ORDER BY message_id LIMIT %(limit)s)
        UNION (SELECT message_id, tenant_id FROM report_windows
            WHERE message_id > %(after)s AND message_id < %(before)s ORDER BY message_id LIMIT %(limit)s)
        UNION (SELECT message_id, tenant_id FROM tenant_bodies_waiting
            WHERE tenant_id = %(tenant_id)s AND message_id > %(after)s AND message_id < %(before)s
            ORDER BY message_id LIMIT %(limit)s)
    ) one ORDER BY message_id LIMIT %(limit)s
)
SELECT (SELECT max(message_id) FROM page), ARRAY (
    SELECT DISTINCT m.request_id FROM page
    JOIN messages m ON m.tenant_id = ANY (ARRAY[page.tenant_id]) AND m.id = ANY (ARRAY[page.message_id])
    WHERE page.tenant_id = %(tenant_id)s ORDER BY m.request_id)

-- name: clear_files
DELETE FROM attachments a
WHERE a.tenant_id = %(tenant_id)s AND a.day < %(before)s AND a.sha256 = ANY (ARRAY (
    SELECT sha256 FROM attachments
    WHERE tenant_id = %(tenant_id)s AND day < %(before)s AND sha256 <> ALL (%(needed)s::bytea[]) LIMIT %(limit)s))

-- name: files_cleared
UPDATE tenant_bodies SET files_before = %(before)s WHERE tenant_id = %(tenant_id)s

-- name: is_cleared
-- Whether a message's bodies have gone.
SELECT octet_length(m.personal) = 0 OR octet_length(r.content) = 0 FROM messages m JOIN requests r ON r.id = m.request_id
    AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s
