-- The ages of secrets, for postray doctor.

-- name: old_signing_keys
-- How many keys have signed since before a moment, and the domains of the oldest three.
SELECT count(*), coalesce((array_agg(s.domain ORDER BY k.created_at, k.id))[1:3], '{}')
FROM dkim_keys k JOIN sender_domains s ON s.id = k.domain_id
WHERE k.state = 'active' AND k.created_at < %(before)s

-- name: unused_operator_tokens
SELECT name FROM operator_tokens
WHERE revoked_at IS NULL AND coalesce(last_used_at, created_at) < %(before)s
ORDER BY coalesce(last_used_at, created_at), id LIMIT %(limit)s
