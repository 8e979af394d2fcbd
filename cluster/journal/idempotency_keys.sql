-- Keys of requests that are sent again, each with the answer to the first.

-- name: claim_idempotency_keys
-- Takes the keys of new requests, in the transaction that commits their mail; returns those that were free. A key that
-- another transaction is taking now counts as taken: waiting for it would hold up all requests of this commit.
INSERT INTO idempotency_keys AS held (tenant_id, sandbox, key, body_sha256, message_ids, ignored, created_at)
SELECT tenant_id, sandbox, key, body_sha256, message_ids::text[], ignored, created_at
FROM unnest(%(tenant_ids)s::text[], %(sandboxes)s::bool[], %(keys)s::text[], %(bodies)s::bytea[],
    %(message_ids)s::text[], %(ignored)s::text[], %(created_ats)s::timestamptz[])
    AS k (tenant_id, sandbox, key, body_sha256, message_ids, ignored, created_at)
WHERE pg_try_advisory_xact_lock(hashtextextended(tenant_id || ' ' || key, sandbox::int))
ON CONFLICT (tenant_id, sandbox, key) DO UPDATE
SET body_sha256 = excluded.body_sha256, message_ids = excluded.message_ids, ignored = excluded.ignored,
    created_at = excluded.created_at
WHERE held.created_at <= excluded.created_at - %(kept)s::interval
RETURNING tenant_id, sandbox, key

-- name: first_answer
SELECT body_sha256, message_ids, ignored FROM idempotency_keys
WHERE tenant_id = %(tenant_id)s AND sandbox = %(sandbox)s AND key = %(key)s AND created_at > %(since)s
