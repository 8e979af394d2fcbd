-- What stays of days whose bodies or records go.

-- name: begin_clearing
-- Nothing that is finished and of these days becomes unfinished any more. Waits for the transactions that are about to
-- make something unfinished (share_retention): it is seen to be so from then on.
UPDATE retention SET bodies_before = greatest(bodies_before, %(bodies)s), records_before = greatest(records_before, %(records)s)

-- name: share_retention
-- The days before which bodies have gone or are going; they do not become more until the transaction ends.
SELECT bodies_before FROM retention FOR SHARE

-- name: stay_unfinished
-- A page of the unfinished messages. Returns where it ends; NULL: it is empty.
WITH page AS (
    SELECT DISTINCT message_id, tenant_id FROM deliveries
    WHERE message_id > %(after)s AND message_id < %(before)s ORDER BY message_id LIMIT %(limit)s
), noted AS (
    INSERT INTO staying_messages (message_id, tenant_id, request_id, is_unfinished)
    SELECT m.id, m.tenant_id, m.request_id, true
    FROM page JOIN messages m ON m.tenant_id = ANY (ARRAY[page.tenant_id]) AND m.id = ANY (ARRAY[page.message_id])
    ON CONFLICT DO NOTHING
)
SELECT max(message_id) FROM page

-- name: stay_reported_on
-- The same of messages on which hosts may still report.
WITH page AS (
    SELECT message_id, tenant_id FROM report_windows
    WHERE message_id > %(after)s AND message_id < %(before)s ORDER BY message_id LIMIT %(limit)s
), noted AS (
    INSERT INTO staying_messages (message_id, tenant_id, request_id, is_unfinished)
    SELECT m.id, m.tenant_id, m.request_id, true
    FROM page JOIN messages m ON m.tenant_id = ANY (ARRAY[page.tenant_id]) AND m.id = ANY (ARRAY[page.message_id])
    ON CONFLICT DO NOTHING
)
SELECT max(message_id) FROM page

-- name: unfinished_requests
-- The contents of a page of the requests of unfinished messages.
SELECT k.request_id, r.tenant_id, r.content
FROM (
    SELECT DISTINCT request_id FROM staying_messages
    WHERE request_id > %(after)s AND is_unfinished ORDER BY request_id LIMIT %(limit)s
) k LEFT JOIN requests r ON r.id = ANY (ARRAY[k.request_id])
ORDER BY k.request_id

-- name: stay_files
INSERT INTO staying_files (tenant_id, sha256)
SELECT * FROM unnest(%(tenant_ids)s::text[], %(hashes)s::bytea[]) ON CONFLICT DO NOTHING

-- name: changed_rows
SELECT id, tenant_id, key, is_new FROM changed_rows WHERE table_name = %(table_name)s ORDER BY id LIMIT %(limit)s

-- name: forget_changed_rows
DELETE FROM changed_rows WHERE id = ANY (%(ids)s::bigint[])

-- name: drop_partition_entry
DELETE FROM day_partitions WHERE name = %(name)s
