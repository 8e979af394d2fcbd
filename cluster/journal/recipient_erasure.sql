-- Erasing the data about recipients of a tenant. Each statement takes a bounded part, and does nothing when it is
-- repeated.

-- name: add_erase_job
INSERT INTO erase_jobs (id, tenant_id, addresses, look_at)
SELECT %(id)s, t.id, %(addresses)s, now() + make_interval(secs => %(after_s)s) FROM tenants t
WHERE t.id = %(tenant_id)s AND t.deleted_at IS NULL

-- name: find_erase_job
SELECT id, stage, created_at, finished_at FROM erase_jobs WHERE id = %(id)s AND tenant_id = %(tenant_id)s

-- name: next_erase_job
SELECT j.id, j.tenant_id, j.addresses, j.created_at, j.stage, j.mark::text::bigint, j.searched_to
FROM erase_jobs j JOIN tenants t ON t.id = j.tenant_id AND t.deleted_at IS NULL
WHERE j.finished_at IS NULL AND j.look_at <= now() ORDER BY j.look_at LIMIT 1

-- name: postpone_erase_job
UPDATE erase_jobs SET look_at = now() + make_interval(secs => %(wait_s)s) WHERE id = %(id)s

-- name: begin_erase_stage
-- The mark comes after everything that has been logged so far.
UPDATE erase_jobs SET stage = %(stage)s, mark = pg_current_xact_id(), look_at = now() WHERE id = %(id)s

-- name: finish_erase_job
UPDATE erase_jobs SET stage = 'done', finished_at = now() WHERE id = %(id)s

-- name: forget_erased
UPDATE erase_jobs SET stage = %(stage)s, addresses = '{}', mark = NULL, look_at = now() WHERE id = %(id)s

-- name: is_log_read_to
-- Whether every consumer has read what was logged before the mark.
SELECT NOT EXISTS (
    SELECT FROM log_cursors c, event_log e
    WHERE (e.tx, e.id) > (c.tx, c.id) AND e.tx <= %(mark)s::text::xid8)

-- name: unfinished_to
SELECT message_id, recipient_no, recipient, tenant_id, batch_id, domain, alone, status::text FROM deliveries
WHERE tenant_id = %(tenant_id)s AND message_id < %(before)s
    AND status IN ('queued', 'processing', 'rendered', 'sending')
    AND coalesce(address, address_of(recipient, domain)) = ANY (%(addresses)s::text[])
LIMIT %(limit)s

-- name: recipients_of_messages
SELECT id, to_emails FROM messages
WHERE tenant_id = %(tenant_id)s AND id > %(after)s AND id < %(before)s ORDER BY id LIMIT %(limit)s

-- name: erase_messages_to
-- moves: nothing
-- Deletes those of these messages that have no unfinished delivery, with everything about them.
WITH page AS (
    SELECT m.tenant_id, m.id, m.request_id FROM messages m
    WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY (%(ids)s::text[])
        AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id)
), o AS (
    DELETE FROM outcomes USING page
    WHERE outcomes.tenant_id = ANY (ARRAY[page.tenant_id]) AND outcomes.message_id = ANY (ARRAY[page.id])
), s AS (
    DELETE FROM strikes USING page WHERE strikes.message_id = ANY (ARRAY[page.id])
), w AS (
    DELETE FROM report_windows USING page WHERE report_windows.message_id = ANY (ARRAY[page.id])
), c AS (
    DELETE FROM complaints USING page
    WHERE complaints.tenant_id = ANY (ARRAY[page.tenant_id]) AND complaints.message_id = ANY (ARRAY[page.id])
), i AS (
    DELETE FROM image_opens USING page
    WHERE image_opens.tenant_id = ANY (ARRAY[page.tenant_id]) AND image_opens.message_id = ANY (ARRAY[page.id])
), k AS (
    INSERT INTO erased_messages (message_id, tenant_id) SELECT id, tenant_id FROM page ORDER BY id
    ON CONFLICT DO NOTHING
)
DELETE FROM messages USING page
WHERE messages.tenant_id = ANY (ARRAY[page.tenant_id]) AND messages.id = ANY (ARRAY[page.id])
RETURNING messages.id, messages.request_id

-- name: erase_request
-- Unless it has a message left. The ids of its messages were made at the same moment (ids.py).
DELETE FROM requests r WHERE r.id = %(request_id)s AND NOT EXISTS (
    SELECT FROM messages m
    WHERE m.tenant_id = r.tenant_id AND m.id BETWEEN %(first)s AND %(last)s AND m.request_id = r.id)

-- name: mail_in_after
-- Mail that came in for the tenant, and mail that was not matched to any tenant.
SELECT id, sender, recipients, why, original FROM mail_in
WHERE id > %(after)s AND (tenant_id = %(tenant_id)s OR tenant_id IS NULL) ORDER BY id LIMIT %(limit)s

-- name: erase_these_mail_in
DELETE FROM mail_in WHERE id = ANY (%(ids)s::bigint[])

-- name: site_actions_after
SELECT id, detail, reply FROM site_actions WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: audit_after
SELECT id, subject, outcome FROM operator_audit WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: empty_audit
UPDATE operator_audit SET subject = '[erased]',
    outcome = CASE WHEN outcome = 'done' THEN outcome ELSE '[erased]' END
WHERE id = ANY (%(ids)s::bigint[])

-- name: empty_site_actions
UPDATE site_actions SET detail = '', reply = '' WHERE id = ANY (%(ids)s::bigint[])

-- name: faulty_imports_after
SELECT id, faults::text FROM suppression_imports
WHERE tenant_id = %(tenant_id)s AND id > %(after)s AND jsonb_array_length(faults) > 0 ORDER BY id LIMIT %(limit)s

-- name: empty_import_faults
UPDATE suppression_imports SET faults = '[]' WHERE id = ANY (%(ids)s::text[])

-- name: add_suppression_key
INSERT INTO suppression_keys (tenant_id, key) VALUES (%(tenant_id)s, %(key)s) ON CONFLICT DO NOTHING

-- name: hash_suppressions
-- Replaces entries of these addresses by their erased form. Where the list has that already, it stays.
WITH gone AS (
    DELETE FROM suppressions
    WHERE tenant_id = %(tenant_id)s AND address = ANY (%(addresses)s::text[])
    RETURNING tenant_id, address, list, group_id, created_at, status, rule
)
INSERT INTO suppressions (tenant_id, address, list, group_id, email, created_at, status, rule)
SELECT tenant_id, erased_form(tenant_id, address), list, group_id, '', created_at, status, rule FROM gone
ON CONFLICT DO NOTHING

-- name: bundles_after
SELECT b.webhook_id, b.id, b.events, b.lease IS NOT NULL
FROM webhooks w JOIN webhook_bundles b ON b.webhook_id = w.id
WHERE w.tenant_id = %(tenant_id)s AND (b.webhook_id, b.id) > (%(webhook_id)s, %(after)s)
ORDER BY b.webhook_id, b.id LIMIT %(limit)s

-- name: shorten_bundle
-- No row while it is being posted.
UPDATE webhook_bundles SET events = %(events)s, count = %(count)s
WHERE webhook_id = %(webhook_id)s AND id = %(id)s AND lease IS NULL

-- name: remove_bundle
DELETE FROM webhook_bundles WHERE webhook_id = %(webhook_id)s AND id = %(id)s AND lease IS NULL

-- name: is_replaying
SELECT EXISTS (
    SELECT FROM webhooks w JOIN webhook_replays r ON r.webhook_id = w.id
    WHERE w.tenant_id = %(tenant_id)s AND r.finished_at IS NULL)
