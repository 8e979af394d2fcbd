-- Operators' tokens.

-- name: create_operator_token
-- Nothing when a token of this name is in use.
INSERT INTO operator_tokens (id, name, prefix, hash, created_at)
VALUES (%(id)s, %(name)s, %(prefix)s, %(hash)s, %(at)s)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING

-- name: operator_tokens
SELECT id, name, prefix, created_at, last_used_at, revoked_at FROM operator_tokens ORDER BY id DESC LIMIT %(limit)s

-- name: operator_token_by_hash
SELECT id, name, prefix, created_at, last_used_at, revoked_at FROM operator_tokens
WHERE hash = %(hash)s AND revoked_at IS NULL

-- name: note_operator_token_use
UPDATE operator_tokens SET last_used_at = %(minute)s
WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < %(minute)s)

-- name: revoke_operator_token
UPDATE operator_tokens SET revoked_at = %(at)s
WHERE revoked_at IS NULL AND (id = %(named)s OR name = %(named)s)
RETURNING id, name, prefix, created_at, last_used_at, revoked_at
