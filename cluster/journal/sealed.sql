-- Values that are sealed with the cluster's secret.

-- name: newest_sealed_dkim_keys
SELECT k.id, 'the DKIM key of ' || s.domain, k.sealed_private_key
FROM dkim_keys k JOIN sender_domains s ON s.id = k.domain_id
WHERE k.id < coalesce(%(before)s, 9223372036854775807)
ORDER BY k.id DESC LIMIT %(limit)s

-- name: replace_sealed_dkim_keys
UPDATE dkim_keys k SET sealed_private_key = v.new
FROM unnest(%(ids)s::int8[], %(olds)s::bytea[], %(news)s::bytea[]) AS v (id, old, new)
WHERE k.id = v.id AND k.sealed_private_key = v.old

-- name: newest_sealed_policies
SELECT version, 'routing.toml, version ' || version, routing FROM policies
WHERE version < coalesce(%(before)s, 9223372036854775807)
ORDER BY version DESC LIMIT %(limit)s

-- name: replace_sealed_policies
UPDATE policies p SET routing = v.new
FROM unnest(%(ids)s::int8[], %(olds)s::bytea[], %(news)s::bytea[]) AS v (version, old, new)
WHERE p.version = v.version AND p.routing = v.old

-- name: newest_sealed_token_keys
SELECT id, 'key ' || id || ' of the links in mail', sealed_key FROM token_keys
WHERE id < coalesce(%(before)s, 9223372036854775807)
ORDER BY id DESC LIMIT %(limit)s

-- name: replace_sealed_token_keys
UPDATE token_keys k SET sealed_key = v.new
FROM unnest(%(ids)s::int8[], %(olds)s::bytea[], %(news)s::bytea[]) AS v (id, old, new)
WHERE k.id = v.id AND k.sealed_key = v.old
