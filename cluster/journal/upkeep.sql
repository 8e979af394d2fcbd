-- Upkeep of the hot tables: what they take on disk, and rows that keep a file long.

-- name: hot_tables
-- Their sizes, and how many rows they have by Postgres' own count, or as of the last vacuum where those were more: the
-- count is lost in a crash. For deliveries, values out of line are rare.
SELECT c.relname::text, greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint), pg_relation_size(c.oid),
    pg_indexes_size(c.oid), greatest(pg_stat_get_live_tuples(o.oid), o.reltuples::bigint),
    pg_total_relation_size(o.oid::regclass)
FROM unnest(%(tables)s::text[]) AS t (name)
JOIN pg_class c ON c.oid = ANY (ARRAY[t.name::regclass::oid])
JOIN pg_class o ON o.oid = ANY (ARRAY[c.reltoastrelid])

-- name: left_over_indexes
-- What REINDEX CONCURRENTLY leaves behind when it is interrupted: indexes that cost each write and serve no query.
SELECT format('%%I.%%I', n.nspname, i.relname)
FROM unnest(%(tables)s::text[]) AS t (name)
JOIN pg_class c ON c.oid = ANY (ARRAY[t.name::regclass::oid])
JOIN pg_index x ON x.indrelid IN (c.oid, c.reltoastrelid)
JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE NOT x.indisvalid AND i.relname ~ '_cc(new|old)[0-9]*$'

-- name: at_the_end
-- Deliveries in some pages that no other process is about to touch. Locks them until the transaction ends.
SELECT message_id, recipient_no FROM deliveries
WHERE ctid >= %(first)s::text::tid AND ctid < %(behind)s::text::tid
    AND owner IS NULL AND due_at > now() + interval '1 minute'
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: rewrite
-- moves: nothing
-- A changed row stays in its page while there is room. Without any, it goes to the first page that has some.
UPDATE deliveries AS d SET status = d.status
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    AND d.ctid >= %(first)s::text::tid
