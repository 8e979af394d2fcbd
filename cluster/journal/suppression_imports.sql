-- Uploaded lists: their chunks as they arrive, and what was worked in of them.

-- name: begin_import
-- Unless the tenant has too many that are not worked in yet, or is deleted. An upload that has not ended within an hour
-- does not count: the process that took it may have been killed.
INSERT INTO suppression_imports (id, tenant_id, list, status)
SELECT %(id)s, t.id, %(list)s::suppression_list, 'uploading' FROM tenants t
WHERE t.id = %(tenant_id)s AND t.deleted_at IS NULL AND (
    SELECT count(*) FROM suppression_imports i
    WHERE i.tenant_id = t.id AND (i.status = 'pending'
        OR i.status = 'uploading' AND i.created_at > now() - interval '1 hour')) < %(most)s

-- name: add_import_chunk
INSERT INTO suppression_import_chunks (import_id, number, content) VALUES (%(id)s, %(number)s, %(content)s)

-- name: end_upload
UPDATE suppression_imports SET status = 'pending', chunks = %(chunks)s WHERE id = %(id)s AND status = 'uploading'

-- name: drop_upload
-- With its chunks.
DELETE FROM suppression_imports WHERE id = %(id)s AND status = 'uploading'

-- name: find_import
SELECT i.id, i.list::text, i.status, i.lines, i.added, i.known, i.faulty, i.faults::text, i.error, i.created_at,
    i.finished_at, i.chunks, (SELECT count(*) FROM suppression_import_chunks c WHERE c.import_id = i.id)
FROM suppression_imports i
WHERE i.id = %(id)s AND i.tenant_id = %(tenant_id)s AND i.list = %(list)s::suppression_list

-- name: next_import
-- The one of which the least is worked in: a small upload does not wait for a large one.
SELECT i.id, i.tenant_id, i.list::text, i.state, i.created_at, jsonb_array_length(i.faults), i.chunks
FROM suppression_imports i
JOIN tenants t ON t.id = i.tenant_id AND t.deleted_at IS NULL
WHERE i.status = 'pending' AND EXISTS (SELECT FROM suppression_import_chunks c WHERE c.import_id = i.id)
ORDER BY i.lines + i.faulty, i.id LIMIT 1
FOR UPDATE OF i SKIP LOCKED

-- name: next_import_chunk
-- Of an import that the transaction has locked. The statement that locks cannot read it: when another process has just
-- worked a chunk in, that statement gets the new row of the import, but other tables as they were when it began.
SELECT number, content FROM suppression_import_chunks WHERE import_id = %(id)s ORDER BY number LIMIT 1

-- name: chunk_worked_in
WITH done AS (DELETE FROM suppression_import_chunks WHERE import_id = %(id)s AND number = %(number)s)
UPDATE suppression_imports
SET state = %(state)s, lines = lines + %(lines)s, added = added + %(added)s, known = known + %(known)s,
    faulty = faulty + %(faulty)s, faults = faults || %(faults)s::jsonb,
    status = CASE WHEN %(is_last)s THEN 'done' ELSE status END,
    finished_at = CASE WHEN %(is_last)s THEN now() END
WHERE id = %(id)s

-- name: fail_import
WITH rest AS (DELETE FROM suppression_import_chunks WHERE import_id = %(id)s)
UPDATE suppression_imports SET status = 'failed', error = %(error)s, finished_at = now() WHERE id = %(id)s

-- name: purge_imports
-- A part of the uploads that never ended, and of the old reports.
DELETE FROM suppression_imports WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM suppression_imports
    WHERE status = 'uploading' AND created_at < now() - make_interval(secs => %(upload_s)s)
        OR finished_at < now() - make_interval(secs => %(kept_s)s)
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
