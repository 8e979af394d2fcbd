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

-- name: newest_webhook_secrets
SELECT number, 'the secret of webhook ' || id, sealed_secret FROM webhooks
WHERE sealed_secret IS NOT NULL AND number < coalesce(%(before)s, 9223372036854775807)
ORDER BY number DESC LIMIT %(limit)s

-- name: replace_webhook_secrets
UPDATE webhooks w SET sealed_secret = v.new
FROM unnest(%(ids)s::int8[], %(olds)s::bytea[], %(news)s::bytea[]) AS v (number, old, new)
WHERE w.number = v.number AND w.sealed_secret = v.old

-- name: newest_webhook_formers
SELECT number, 'the former secret of webhook ' || id, sealed_former FROM webhooks
WHERE sealed_former IS NOT NULL AND number < coalesce(%(before)s, 9223372036854775807)
ORDER BY number DESC LIMIT %(limit)s

-- name: replace_webhook_formers
UPDATE webhooks w SET sealed_former = v.new
FROM unnest(%(ids)s::int8[], %(olds)s::bytea[], %(news)s::bytea[]) AS v (number, old, new)
WHERE w.number = v.number AND w.sealed_former = v.old

-- name: newest_webhook_oauths
SELECT number, 'the OAuth credentials of webhook ' || id, sealed_oauth FROM webhooks
WHERE sealed_oauth IS NOT NULL AND number < coalesce(%(before)s, 9223372036854775807)
ORDER BY number DESC LIMIT %(limit)s

-- name: replace_webhook_oauths
UPDATE webhooks w SET sealed_oauth = v.new
FROM unnest(%(ids)s::int8[], %(olds)s::bytea[], %(news)s::bytea[]) AS v (number, old, new)
WHERE w.number = v.number AND w.sealed_oauth = v.old
