-- The endpoints of webhooks.

-- name: add_webhook
-- The tenant's row is locked, so that two calls cannot both add the last one.
WITH tenant AS (SELECT id FROM tenants WHERE id = %(tenant_id)s AND deleted_at IS NULL FOR UPDATE),
added AS (
    INSERT INTO webhooks (id, tenant_id, dialect, name, url, events, categories, key_ids, is_batch, is_standard,
        is_enabled, is_paused, sealed_secret, sealed_former, former_until, public_key, sealed_oauth, notify_email,
        created_at, updated_at)
    SELECT %(id)s, id, %(dialect)s, %(name)s, %(url)s, %(events)s, %(categories)s, %(key_ids)s, %(is_batch)s,
        %(is_standard)s, %(is_enabled)s, %(is_paused)s, %(sealed_secret)s, %(sealed_former)s, %(former_until)s,
        %(public_key)s, %(sealed_oauth)s, %(notify_email)s, %(created_at)s, %(updated_at)s
    FROM tenant WHERE (SELECT count(*) FROM webhooks w WHERE w.tenant_id = tenant.id) < %(most)s
    RETURNING id
),
state AS (INSERT INTO webhook_states (webhook_id) SELECT id FROM added)
SELECT EXISTS (SELECT FROM tenant), EXISTS (SELECT FROM added)

-- name: webhook_of
SELECT id, tenant_id, dialect, name, url, events, categories, key_ids, is_batch, is_standard, is_enabled, is_paused,
    sealed_secret, sealed_former, former_until, public_key, sealed_oauth, notify_email, created_at, updated_at
FROM webhooks WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: lock_webhook
SELECT id, tenant_id, dialect, name, url, events, categories, key_ids, is_batch, is_standard, is_enabled, is_paused,
    sealed_secret, sealed_former, former_until, public_key, sealed_oauth, notify_email, created_at, updated_at
FROM webhooks WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR UPDATE

-- name: webhooks_of_tenant
SELECT id, tenant_id, dialect, name, url, events, categories, key_ids, is_batch, is_standard, is_enabled, is_paused,
    sealed_secret, sealed_former, former_until, public_key, sealed_oauth, notify_email, created_at, updated_at
FROM webhooks WHERE tenant_id = %(tenant_id)s ORDER BY id

-- name: find_webhook
SELECT id, tenant_id, dialect, name, url, events, categories, key_ids, is_batch, is_standard, is_enabled, is_paused,
    sealed_secret, sealed_former, former_until, public_key, sealed_oauth, notify_email, created_at, updated_at
FROM webhooks WHERE id = %(id)s

-- name: page_of_webhooks
SELECT id, tenant_id, dialect, name, url, events, categories, key_ids, is_batch, is_standard, is_enabled, is_paused,
    sealed_secret, sealed_former, former_until, public_key, sealed_oauth, notify_email, created_at, updated_at
FROM webhooks WHERE id > %(after)s AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
ORDER BY id LIMIT %(limit)s

-- name: all_webhooks
SELECT id, tenant_id, dialect, name, url, events, categories, key_ids, is_batch, is_standard, is_enabled, is_paused,
    sealed_secret, sealed_former, former_until, public_key, sealed_oauth, notify_email, created_at, updated_at
FROM webhooks ORDER BY id

-- name: webhooks_version
SELECT version FROM webhooks_version

-- name: change_webhook
UPDATE webhooks SET name = %(name)s, url = %(url)s, events = %(events)s, categories = %(categories)s,
    key_ids = %(key_ids)s, is_batch = %(is_batch)s, is_standard = %(is_standard)s, is_enabled = %(is_enabled)s,
    is_paused = %(is_paused)s, sealed_secret = %(sealed_secret)s, sealed_former = %(sealed_former)s,
    former_until = %(former_until)s, public_key = %(public_key)s, sealed_oauth = %(sealed_oauth)s,
    notify_email = %(notify_email)s, updated_at = %(updated_at)s
WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: revive_webhook
-- What it is owed goes out at once, also what failed.
WITH revived AS (
    UPDATE webhook_states SET failures = 0, failed_since = NULL, failed_at = NULL, next_at = NULL, disabled_at = NULL,
        disabled_reason = '', is_untold = false
    WHERE webhook_id = %(id)s
)
UPDATE webhook_bundles SET due_at = now() WHERE webhook_id = %(id)s AND due_at > now() AND lease IS NULL

-- name: remove_webhook
DELETE FROM webhooks WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: webhook_standings
-- What waits is counted by bundles, of which there are few.
SELECT s.webhook_id, s.failures, s.failed_since, s.next_at, s.disabled_at, s.disabled_reason, s.last_at, s.last_status,
    s.last_error, s.last_ms, CASE WHEN s.last_at > now() - interval '2 minutes' THEN s.rate ELSE 0 END, s.posted,
    s.dropped, coalesce(b.waiting, 0), b.oldest
FROM webhook_states s
LEFT JOIN LATERAL (
    SELECT sum(count)::bigint AS waiting, min(since) AS oldest FROM webhook_bundles WHERE webhook_id = s.webhook_id
) b ON true
WHERE s.webhook_id = ANY(%(ids)s)
