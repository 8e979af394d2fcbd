-- Tenants.

-- name: create_tenant
-- Creates a tenant unless another has its name. The index of names does not hold those that an older version let two
-- tenants have.
INSERT INTO tenants (id, name)
SELECT %(id)s, %(name)s
WHERE NOT EXISTS (SELECT FROM tenants WHERE name = %(name)s AND deleted_at IS NULL AND is_name_shared)
ON CONFLICT (name) WHERE deleted_at IS NULL AND NOT is_name_shared DO NOTHING
RETURNING id

-- name: tenant_named
SELECT id FROM tenants WHERE name = %(name)s AND deleted_at IS NULL ORDER BY id

-- name: tenant_record
SELECT t.id, t.name, t.created_at, t.suspended_at, t.suspended_for, t.pause_over_rates, r.ended, r.hard,
    r.is_over_bounces, r.delivered, r.complaints, r.is_over_complaints
FROM tenants t LEFT JOIN tenant_rates r ON r.tenant_id = t.id
WHERE t.id = %(id)s AND t.deleted_at IS NULL

-- name: tenant_records
-- The tenants after an id, all or those with a name.
SELECT t.id, t.name, t.created_at, t.suspended_at, t.suspended_for, t.pause_over_rates, r.ended, r.hard,
    r.is_over_bounces, r.delivered, r.complaints, r.is_over_complaints
FROM tenants t LEFT JOIN tenant_rates r ON r.tenant_id = t.id
WHERE t.id > %(after)s AND t.deleted_at IS NULL AND t.name = coalesce(%(name)s, t.name)
ORDER BY t.id LIMIT %(limit)s

-- name: lock_tenant
-- Changes of what a tenant has (keys, domains, links) follow each other, so that counts and defaults hold.
SELECT id FROM tenants WHERE id = %(id)s AND deleted_at IS NULL FOR NO KEY UPDATE

-- name: lock_operated_tenant
SELECT name, suspended_at IS NOT NULL FROM tenants WHERE id = %(id)s AND deleted_at IS NULL FOR NO KEY UPDATE

-- name: is_shared_name
-- Whether another tenant has a name that an older version let two tenants have.
SELECT EXISTS (
    SELECT FROM tenants WHERE name = %(name)s AND id <> %(id)s AND deleted_at IS NULL AND is_name_shared)

-- name: rename_tenant
UPDATE tenants SET name = %(name)s, is_name_shared = false WHERE id = %(id)s

-- name: set_pausing
UPDATE tenants SET pause_over_rates = %(pause)s WHERE id = %(id)s AND deleted_at IS NULL

-- name: suspend_tenant
UPDATE tenants SET suspended_at = now() WHERE id = %(id)s AND suspended_at IS NULL

-- name: resume_tenant
UPDATE tenants SET suspended_at = NULL, suspended_for = '', resumed_at = now()
WHERE id = %(id)s AND suspended_at IS NOT NULL

-- name: has_unfinished
-- Reads the whole queue where the tenant has nothing in it: an index on tenants would add to the cost of each message.
SELECT EXISTS (
    SELECT FROM deliveries
    WHERE tenant_id = %(id)s AND status IN ('queued', 'processing', 'rendered', 'sending'))

-- name: delete_tenant
UPDATE tenants SET deleted_at = now() WHERE id = %(id)s

-- name: tenant_limits
SELECT limits::text, own_limits::text FROM tenants WHERE id = %(id)s AND deleted_at IS NULL

-- name: store_limits
UPDATE tenants SET limits = %(limits)s::text::jsonb WHERE id = %(id)s AND deleted_at IS NULL
RETURNING limits::text, own_limits::text

-- name: store_own_limits
UPDATE tenants SET own_limits = %(limits)s::text::jsonb WHERE id = %(id)s AND deleted_at IS NULL
RETURNING limits::text, own_limits::text

-- name: tenant
SELECT t.id, t.name, t.suspended_at IS NOT NULL, t.suspended_for, t.resumed_at, t.settings::text, t.limits::text,
    t.own_limits::text,
    coalesce(d.domains, '{}'), coalesce(d.with_subdomains, '{}'),
    coalesce(o.domains, '{}'), coalesce(o.with_subdomains, '{}'),
    (SELECT b.subdomain || '.' || b.domain FROM branded_links b
     WHERE b.tenant_id = t.id AND b.verified_at IS NOT NULL ORDER BY b.is_default DESC, b.id LIMIT 1),
    t.number
FROM tenants t CROSS JOIN LATERAL (
    SELECT array_agg(s.domain ORDER BY s.id) AS domains, array_agg(s.include_subdomains ORDER BY s.id) AS with_subdomains
    FROM sender_domains s WHERE s.tenant_id = t.id AND s.verified_at IS NOT NULL) AS d
CROSS JOIN LATERAL (
    -- What other tenants have verified below domains that include their sub-domains. '/' follows '.'.
    SELECT array_agg(b.domain) AS domains, array_agg(b.include_subdomains) AS with_subdomains
    FROM sender_domains s JOIN sender_domains b
        ON reverse(b.domain) COLLATE "C" > reverse(s.domain) || '.' COLLATE "C"
        AND reverse(b.domain) COLLATE "C" < reverse(s.domain) || '/' COLLATE "C"
    WHERE s.tenant_id = t.id AND s.include_subdomains AND s.verified_at IS NOT NULL
        AND b.verified_at IS NOT NULL AND b.tenant_id <> t.id) AS o
WHERE t.id = %(id)s AND t.deleted_at IS NULL

-- name: lock_settings
-- NO KEY: rows that refer to the tenant can be inserted meanwhile.
SELECT settings::text FROM tenants WHERE id = %(id)s AND deleted_at IS NULL FOR NO KEY UPDATE

-- name: store_settings
UPDATE tenants SET settings = %(settings)s::text::jsonb WHERE id = %(id)s

-- name: changed_tenants
-- A transaction that is still running may yet change a tenant: the cursor is the oldest of them, and the next call
-- looks at it again.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
    ARRAY (SELECT id FROM tenants WHERE changed_tx >= %(since)s::bigint::text::xid8)
