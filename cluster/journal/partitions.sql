-- The partitions of the tables that are divided by day.

-- name: day_partitions
SELECT name, table_name, first, until, is_oldest, bodies_before, records_before FROM day_partitions
ORDER BY table_name, until

-- name: add_partition
INSERT INTO day_partitions (name, table_name, first, until, is_oldest, bodies_before, records_before)
VALUES (%(name)s, %(table_name)s, %(first)s, %(until)s, %(is_oldest)s, %(bodies_before)s, %(records_before)s)

-- name: server_time
SELECT now()

-- name: seen_day
SELECT seen FROM retention

-- name: see_day
UPDATE retention SET seen = greatest(seen, %(day)s)

-- name: partition_sizes
SELECT name, pg_total_relation_size(to_regclass(name)) FROM day_partitions WHERE to_regclass(name) IS NOT NULL
