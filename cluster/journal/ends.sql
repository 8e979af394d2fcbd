-- What is past its end; the other statements of this kind are made of a table (ends.py).

-- name: oldest_unfinished
SELECT min(message_id) FROM deliveries

-- name: remove_unused_texts
-- Texts may be marked as unused although a version has them: two changes at once do not see each other.
DELETE FROM template_texts WHERE (tenant_id, sha256) IN (
    SELECT t.tenant_id, t.sha256 FROM template_texts t WHERE t.unused_since < %(before)s
        AND NOT EXISTS (SELECT FROM template_versions v WHERE v.tenant_id = t.tenant_id AND v.texts = t.sha256)
    ORDER BY t.unused_since LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AND unused_since < %(before)s

-- name: old_batches
SELECT id FROM batches WHERE id > %(after)s AND id < %(before)s ORDER BY id LIMIT %(limit)s

-- name: empty_batches
-- Those of these batches that have no messages.
SELECT id FROM unnest(%(batch_ids)s::text[]) AS b (id)
WHERE NOT EXISTS (SELECT FROM messages m WHERE m.batch_id = ANY (ARRAY[b.id]))

-- name: lock_batches
-- Those of these batches to which no transaction is adding messages (share_batches), and on which none commands anything.
SELECT id FROM batches WHERE id = ANY (%(batch_ids)s::text[]) AND pg_try_advisory_xact_lock(hashtextextended(id, 0))
FOR UPDATE SKIP LOCKED

-- name: remove_batches
-- The caller has locked them. What was committed before they were locked is seen by this statement.
WITH gone AS (
    SELECT id FROM unnest(%(batch_ids)s::text[]) AS b (id)
    WHERE NOT EXISTS (SELECT FROM messages m WHERE m.batch_id = ANY (ARRAY[b.id]))
), schedules AS (
    DELETE FROM scheduled_sends USING gone WHERE scheduled_sends.batch_id = ANY (ARRAY[gone.id])
), tallies AS (
    DELETE FROM batch_tallies USING gone WHERE batch_tallies.batch_id = ANY (ARRAY[gone.id])
)
DELETE FROM batches USING gone WHERE batches.id = ANY (ARRAY[gone.id])
