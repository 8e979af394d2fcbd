-- The keys of tokens in tracked mail.

-- name: token_keys
SELECT id, sealed_key FROM token_keys ORDER BY id

-- name: add_token_key
-- Adds the next key, unless there are more than ``known`` already: of several processes that want one, one adds it.
INSERT INTO token_keys (id, sealed_key)
SELECT %(known)s + 1, %(sealed_key)s WHERE (SELECT count(*) FROM token_keys) = %(known)s
ON CONFLICT DO NOTHING
