-- What takes how much of the disk.

-- name: relations
-- Tables with their partitions, biggest first. A row count is the estimate of the last vacuum or ANALYZE.
SELECT coalesce(parent.relname, c.relname)::text AS name, sum(pg_table_size(c.oid))::bigint,
    sum(pg_indexes_size(c.oid))::bigint, sum(greatest(c.reltuples, 0))::bigint
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC, 1

-- name: journal_bytes
SELECT pg_database_size(current_database())

-- name: wal_bytes
SELECT sum(size)::bigint FROM pg_ls_waldir()

-- name: may_see_wal
SELECT has_function_privilege('pg_ls_waldir()', 'execute')

-- name: add_sample
INSERT INTO storage_samples (at, stored_bytes, free_bytes) VALUES (%(at)s, %(stored_bytes)s, %(free_bytes)s)
ON CONFLICT (at) DO NOTHING

-- name: samples
SELECT at, stored_bytes, free_bytes FROM storage_samples WHERE at > %(since)s AND at <= %(now)s ORDER BY at

-- name: last_sample
SELECT max(at) FROM storage_samples WHERE at <= %(now)s

-- name: pages
SELECT coalesce(sum(c.relpages), 0)::bigint FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relkind = 'r' AND (c.oid = %(table)s::regclass OR i.inhparent = %(table)s::regclass)

-- name: unfinished_before
SELECT count(*) FROM (
    SELECT DISTINCT message_id FROM deliveries WHERE message_id < %(before)s ORDER BY message_id LIMIT %(most)s) AS found
