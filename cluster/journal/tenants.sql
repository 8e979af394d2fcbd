-- Tenants.

-- name: create_tenant
INSERT INTO tenants (id, name) VALUES (%(id)s, %(name)s)

-- name: tenant_named
SELECT id FROM tenants WHERE name = %(name)s AND deleted_at IS NULL

-- name: tenant
SELECT t.id, t.name, t.suspended_at IS NOT NULL, t.settings::text, t.limits::text,
    coalesce(d.domains, '{}'), coalesce(d.with_subdomains, '{}'),
    coalesce(o.domains, '{}'), coalesce(o.with_subdomains, '{}'),
    (SELECT b.subdomain || '.' || b.domain FROM branded_links b
     WHERE b.tenant_id = t.id AND b.verified_at IS NOT NULL ORDER BY b.is_default DESC, b.id LIMIT 1)
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
