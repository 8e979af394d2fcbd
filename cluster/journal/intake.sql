-- Accepted requests.

-- name: keep_attachment
INSERT INTO attachments (day, tenant_id, sha256, content) VALUES (%(day)s, %(tenant_id)s, %(sha256)s, %(content)s)
ON CONFLICT DO NOTHING

-- name: accept
-- moves: new -> queued (submitted)
-- Inserts requests with their messages, deliveries and events. It is one statement because a round trip costs as much
-- as ten messages. Messages and deliveries refer to their request by number, so that shared values are transferred
-- once. A missing send time is NULL.
WITH accepted AS (
    INSERT INTO requests (id, tenant_id, created_at, template_id, categories, content, pool, key_id,
        group_id, told)
    SELECT id, tenant_id, created_at, template_id, categories::text[], content, pool, key_id, group_id, told
    FROM unnest(%(ids)s::text[], %(tenant_ids)s::text[], %(created_ats)s::timestamptz[], %(template_ids)s::text[],
        %(categories)s::text[], %(contents)s::bytea[], %(pools)s::text[],
        %(key_ids)s::text[], %(group_ids)s::int[], %(requests_told)s::bytea[])
        AS r (id, tenant_id, created_at, template_id, categories, content, pool, key_id, group_id, told)
), composed AS (
    INSERT INTO messages
        (tenant_id, id, request_id, batch_id, created_at, send_at, from_email, to_emails, subject, personal,
        told)
    SELECT (%(tenant_ids)s::text[])[request], id, (%(ids)s::text[])[request], (%(batch_ids)s::text[])[request],
        (%(created_ats)s::timestamptz[])[request], send_at, from_email, to_emails::text[], subject, personal, told
    FROM unnest(%(message_requests)s::int8[], %(message_ids)s::text[], %(send_ats)s::timestamptz[],
        %(from_emails)s::text[], %(to_emails)s::text[], %(subjects)s::text[], %(personals)s::bytea[],
        %(messages_told)s::bytea[])
        AS m (request, id, send_at, from_email, to_emails, subject, personal, told)
), queued AS (
    INSERT INTO deliveries
        (message_id, recipient_no, tenant_id, batch_id, domain, recipient, due_at, expires_at, alone, pool, address,
        group_id, bypass)
    SELECT message_id, recipient_no, (%(tenant_ids)s::text[])[request], (%(batch_ids)s::text[])[request],
        domain, recipient, coalesce(due_at, (%(created_ats)s::timestamptz[])[request] + %(grace)s), expires_at, alone,
        (%(pools)s::text[])[request], address, (%(group_ids)s::int[])[request], (%(bypasses)s::int2[])[request]
    FROM unnest(%(delivery_requests)s::int8[], %(delivery_messages)s::text[], %(recipient_nos)s::int8[],
        %(domains)s::text[], %(recipients)s::text[], %(due_ats)s::timestamptz[], %(expires_ats)s::timestamptz[],
        %(sole_recipient)s::bool[], %(addresses)s::text[])
        AS d (request, message_id, recipient_no, domain, recipient, due_at, expires_at, alone, address)
)
INSERT INTO event_log (events) SELECT unnest(%(events)s::bytea[])

-- name: finish_sandboxed
-- moves: new -> sandbox (sandboxed)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT %(tenant_id)s, unnest(%(message_ids)s::text[]), 'sandbox', %(at)s, 0

-- name: cancel_accepted
-- moves: new -> cancelled (cancelled)
-- Finishes new messages of a cancelled batch on acceptance.
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT %(tenant_id)s, unnest(%(message_ids)s::text[]), 'cancelled', %(at)s, 0
