-- API keys.

-- name: key_by_hash
SELECT id, tenant_id, scopes, sandbox FROM api_keys WHERE hash = %(hash)s AND revoked_at IS NULL

-- name: create_key
INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes, sandbox)
VALUES (%(id)s, %(tenant_id)s, %(name)s, %(prefix)s, %(hash)s, %(scopes)s, %(sandbox)s)
