-- API keys.

-- name: key_by_hash
SELECT k.id, k.tenant_id, k.scopes, k.sandbox, k.kind, k.expires_at, k.allowed_networks
FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
WHERE k.hash = %(hash)s AND k.revoked_at IS NULL AND t.deleted_at IS NULL

-- name: count_keys
SELECT count(*) FROM api_keys WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL

-- name: create_key
INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes, sandbox, kind, expires_at, allowed_networks)
VALUES (%(id)s, %(tenant_id)s, %(name)s, %(prefix)s, %(hash)s, %(scopes)s, %(sandbox)s, %(kind)s, %(expires_at)s,
    %(allowed_networks)s)
RETURNING id, tenant_id, name, prefix, scopes, sandbox, kind, expires_at, allowed_networks, created_at, last_used_at

-- name: keys_of_tenant
SELECT id, tenant_id, name, prefix, scopes, sandbox, kind, expires_at, allowed_networks, created_at, last_used_at
FROM api_keys
WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL AND (sandbox OR NOT %(sandbox_only)s)
ORDER BY id LIMIT %(limit)s

-- name: key
SELECT id, tenant_id, name, prefix, scopes, sandbox, kind, expires_at, allowed_networks, created_at, last_used_at
FROM api_keys
WHERE id = %(id)s AND revoked_at IS NULL

-- name: change_key
UPDATE api_keys SET name = %(name)s, scopes = coalesce(%(scopes)s, scopes)
WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND revoked_at IS NULL
RETURNING id, tenant_id, name, prefix, scopes, sandbox, kind, expires_at, allowed_networks, created_at, last_used_at

-- name: widen_key
UPDATE api_keys SET scopes = %(scopes)s WHERE id = %(id)s AND NOT scopes @> %(scopes)s

-- name: revoke_key
UPDATE api_keys SET revoked_at = now() WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND revoked_at IS NULL

-- name: has_other_admin_key
SELECT EXISTS (
    SELECT FROM api_keys
    WHERE tenant_id = %(tenant_id)s AND id <> %(id)s AND revoked_at IS NULL AND NOT sandbox AND kind = 'api'
        AND (expires_at IS NULL OR expires_at > now()) AND %(scope)s = ANY (scopes))

-- name: keys_used
-- No trigger: what a key may do does not change, so no process forgets it.
UPDATE api_keys SET last_used_at = u.at
FROM unnest(%(ids)s::text[], %(at)s::timestamptz[]) AS u (id, at)
WHERE api_keys.id = u.id AND (last_used_at IS NULL OR last_used_at < u.at)
