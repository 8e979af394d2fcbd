-- Erasing what a deleted tenant had, part by part. Each statement takes a bounded part, and does nothing when it is
-- repeated, so a process may end between any two of them.

-- name: next_to_erase
-- The tenant that was deleted first. Requests that were under way when it was deleted have ended by then.
SELECT id FROM tenants
WHERE deleted_at < now() - make_interval(secs => %(after_s)s) AND erased_at IS NULL
ORDER BY deleted_at LIMIT 1

-- name: unfinished_of_tenant
SELECT message_id, recipient_no, recipient, tenant_id, batch_id, domain, alone, status::text FROM deliveries
WHERE tenant_id = %(id)s AND status IN ('queued', 'processing', 'rendered', 'sending') LIMIT %(limit)s

-- name: erase_messages
-- moves: nothing
-- Finished messages with their outcomes and requests; what has a delivery left is not touched.
WITH page AS (
    SELECT m.tenant_id, m.id, m.request_id FROM messages m
    WHERE m.tenant_id = %(id)s AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id)
    ORDER BY m.id LIMIT %(limit)s
), o AS (
    DELETE FROM outcomes USING page
    WHERE outcomes.tenant_id = ANY (ARRAY[page.tenant_id]) AND outcomes.message_id = ANY (ARRAY[page.id])
), r AS (
    DELETE FROM requests WHERE id = ANY (ARRAY (SELECT DISTINCT request_id FROM page))
), s AS (
    DELETE FROM strikes WHERE request_id = ANY (ARRAY (SELECT DISTINCT request_id FROM page))
), w AS (
    DELETE FROM report_windows USING page WHERE report_windows.message_id = ANY (ARRAY[page.id])
)
DELETE FROM messages USING page
WHERE messages.tenant_id = ANY (ARRAY[page.tenant_id]) AND messages.id = ANY (ARRAY[page.id])

-- name: erase_attachments
DELETE FROM attachments WHERE tenant_id = %(id)s AND sha256 = ANY (ARRAY (
    SELECT sha256 FROM attachments WHERE tenant_id = %(id)s ORDER BY sha256 LIMIT least(%(limit)s, 50)))

-- name: erase_scheduled_sends
DELETE FROM scheduled_sends WHERE batch_id = ANY (ARRAY (
    SELECT batch_id FROM scheduled_sends WHERE tenant_id = %(id)s ORDER BY batch_id LIMIT %(limit)s))

-- name: erase_batches
WITH gone AS (
    DELETE FROM batches WHERE id = ANY (ARRAY (
        SELECT id FROM batches WHERE tenant_id = %(id)s ORDER BY id LIMIT %(limit)s))
    RETURNING id
), tallies AS (
    DELETE FROM batch_tallies USING gone WHERE batch_tallies.batch_id = ANY (ARRAY[gone.id])
)
SELECT id FROM gone

-- name: erase_api_keys
DELETE FROM api_keys WHERE id = ANY (ARRAY (
    SELECT id FROM api_keys WHERE tenant_id = %(id)s ORDER BY id LIMIT %(limit)s))

-- name: erase_sender_domains
-- With their signing keys.
DELETE FROM sender_domains WHERE id = ANY (ARRAY (
    SELECT id FROM sender_domains WHERE tenant_id = %(id)s ORDER BY id LIMIT %(limit)s))

-- name: erase_branded_links
DELETE FROM branded_links WHERE id = ANY (ARRAY (
    SELECT id FROM branded_links WHERE tenant_id = %(id)s ORDER BY id LIMIT %(limit)s))

-- name: erase_templates
-- With their versions.
DELETE FROM templates WHERE id = ANY (ARRAY (
    SELECT id FROM templates WHERE tenant_id = %(id)s ORDER BY id LIMIT least(%(limit)s, 50)))

-- name: erase_template_texts
DELETE FROM template_texts WHERE tenant_id = %(id)s AND sha256 = ANY (ARRAY (
    SELECT sha256 FROM template_texts WHERE tenant_id = %(id)s ORDER BY sha256 LIMIT least(%(limit)s, 50)))

-- name: erase_images
DELETE FROM images WHERE id = ANY (ARRAY (
    SELECT id FROM images WHERE tenant_id = %(id)s ORDER BY id LIMIT %(limit)s))

-- name: erase_image_opens
DELETE FROM image_opens WHERE tenant_id = %(id)s AND (message_id, recipient_no, image) IN (
    SELECT message_id, recipient_no, image FROM image_opens WHERE tenant_id = %(id)s
    ORDER BY message_id, recipient_no, image LIMIT %(limit)s)

-- name: erase_image_files
DELETE FROM image_files WHERE tenant_id = %(id)s AND sha256 = ANY (ARRAY (
    SELECT sha256 FROM image_files WHERE tenant_id = %(id)s ORDER BY sha256 LIMIT least(%(limit)s, 50)))

-- name: erase_suppressions
DELETE FROM suppressions WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM suppressions WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_suppression_groups
DELETE FROM suppression_groups WHERE id = ANY (ARRAY (
    SELECT id FROM suppression_groups WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_suppression_imports
-- With the chunks that are not worked in.
DELETE FROM suppression_imports WHERE id = ANY (ARRAY (
    SELECT id FROM suppression_imports WHERE tenant_id = %(id)s ORDER BY id LIMIT least(%(limit)s, 5)))

-- name: erase_webhook_bundles
DELETE FROM webhook_bundles WHERE ctid = ANY (ARRAY (
    SELECT b.ctid FROM webhooks w JOIN webhook_bundles b ON b.webhook_id = w.id
    WHERE w.tenant_id = %(id)s LIMIT least(%(limit)s, 50)))

-- name: erase_webhooks
-- With how they answered, and what became owed to them since the step before.
DELETE FROM webhooks WHERE id = ANY (ARRAY (
    SELECT id FROM webhooks WHERE tenant_id = %(id)s ORDER BY id LIMIT %(limit)s))

-- name: erase_complaints
DELETE FROM complaints WHERE tenant_id = %(id)s AND (message_id, recipient_no) IN (
    SELECT message_id, recipient_no FROM complaints WHERE tenant_id = %(id)s
    ORDER BY message_id, recipient_no LIMIT %(limit)s)

-- name: erase_mail_in
DELETE FROM mail_in WHERE id = ANY (ARRAY (SELECT id FROM mail_in WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_erase_jobs
DELETE FROM erase_jobs WHERE id = ANY (ARRAY (SELECT id FROM erase_jobs WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_erased_messages
DELETE FROM erased_messages WHERE message_id = ANY (ARRAY (
    SELECT message_id FROM erased_messages WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_suppression_keys
DELETE FROM suppression_keys WHERE tenant_id = %(id)s

-- name: erase_idempotency_keys
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM idempotency_keys WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_usage
DELETE FROM tenant_usage WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM tenant_usage WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_ends
DELETE FROM tenant_ends WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM tenant_ends WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_rates
DELETE FROM tenant_rates WHERE tenant_id = %(id)s

-- name: erase_suspensions
DELETE FROM suspensions WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM suspensions WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_site_actions
DELETE FROM site_actions WHERE id = ANY (ARRAY (
    SELECT id FROM site_actions WHERE tenant_id = %(id)s LIMIT %(limit)s))

-- name: erase_bodies_looked_at
DELETE FROM tenant_bodies WHERE tenant_id = %(id)s

-- name: erase_bodies_waiting
DELETE FROM tenant_bodies_waiting WHERE (tenant_id, message_id) IN (
    SELECT tenant_id, message_id FROM tenant_bodies_waiting WHERE tenant_id = %(id)s LIMIT %(limit)s)

-- name: erase_name
-- Comes last, so that changed_tx is after every event of the tenant.
UPDATE tenants SET name = '', settings = '{}', limits = '{}', own_limits = '{}' WHERE id = %(id)s AND name <> ''

-- name: is_log_read
-- Whether every consumer has read the events from before the tenant's last change.
SELECT NOT EXISTS (
    SELECT FROM log_cursors c, event_log e, tenants t
    WHERE t.id = %(id)s AND (e.tx, e.id) > (c.tx, c.id) AND e.tx <= t.changed_tx)

-- name: erased
UPDATE tenants SET erased_at = now() WHERE id = %(id)s AND erased_at IS NULL
