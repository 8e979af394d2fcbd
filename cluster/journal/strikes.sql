-- Strikes: lives of delivery actors that ended over a message.

-- name: strike
-- Adds a strike to an unfinished message. A life strikes a message once, however often this is repeated.
INSERT INTO strikes (request_id, life, message_id, shared, actor)
SELECT m.request_id, %(life)s, m.id, %(shared)s, %(actor)s
FROM messages m
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s
    AND EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id
        AND d.status IN ('queued', 'processing', 'rendered', 'sending'))
ON CONFLICT DO NOTHING

-- name: strikes_of_request
-- All strikes of a message's request.
SELECT s.life, s.message_id, s.shared
FROM messages m JOIN strikes s ON s.request_id = m.request_id
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s

-- name: unfinished_of_request
-- The unfinished messages of a message's request. The ids of a request are generated at the same time (ids.py), so they
-- are in the narrow range from first to last.
SELECT m.id FROM messages n JOIN messages m ON m.tenant_id = n.tenant_id AND m.request_id = n.request_id
    AND m.id >= %(first)s AND m.id <= %(last)s
WHERE n.tenant_id = %(tenant_id)s AND n.id = %(message_id)s
    AND EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id
        AND d.status IN ('queued', 'processing', 'rendered', 'sending'))
ORDER BY m.id

-- name: lock_set_aside
-- Locks the deliveries of a message that no live actor can be sending: those that are not claimed, were claimed by the
-- life that ended, or have an expired lease.
SELECT recipient_no, recipient, batch_id, alone, status::text FROM deliveries
WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s
    AND (status IN ('queued', 'processing') OR (status = 'sending' AND (owner = %(life)s OR due_at <= now())))
ORDER BY recipient_no FOR UPDATE

-- name: clear_strikes
-- Deletes the strikes of a message's request, so that it is tried as if it were new.
DELETE FROM strikes WHERE request_id = (
    SELECT request_id FROM messages WHERE tenant_id = %(tenant_id)s AND id = %(message_id)s)
