-- The event log.

-- name: append_log
INSERT INTO event_log (events) SELECT unnest(%(batches)s::bytea[])

-- name: log_after
-- Up to the row that brings the page to most_bytes. octet_length does not fetch values that are stored out of line.
SELECT tx::text::bigint, id, events
FROM (
    SELECT tx, id, events, sum(octet_length(events)) OVER (ORDER BY tx, id ROWS UNBOUNDED PRECEDING)
        - octet_length(events) AS before
    FROM (
        SELECT tx, id, events FROM event_log
        WHERE (tx, id) > (SELECT tx, id FROM log_cursors WHERE consumer = %(consumer)s)
            AND tx < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY tx, id LIMIT %(limit)s
    ) AS next
) AS page
WHERE before < %(most_bytes)s ORDER BY page.tx, page.id

-- name: add_consumer
INSERT INTO log_cursors (consumer) VALUES (%(consumer)s) ON CONFLICT DO NOTHING

-- name: cursor
SELECT tx::text::bigint, id FROM log_cursors WHERE consumer = %(consumer)s

-- name: move_cursor
UPDATE log_cursors SET tx = %(tx)s::text::xid8, id = %(id)s, moved_at = now()
WHERE consumer = %(consumer)s AND (tx, id) < (%(tx)s::text::xid8, %(id)s)

-- name: pass_page
-- Moves the cursor over a whole page, from before its first row; over none of it where another process was first.
UPDATE log_cursors SET tx = %(tx)s::text::xid8, id = %(id)s, moved_at = now()
WHERE consumer = %(consumer)s AND (tx, id) < (%(first_tx)s::text::xid8, %(first_id)s)

-- name: log_end
SELECT tx::text::bigint, id FROM event_log ORDER BY event_log.tx DESC, id DESC LIMIT 1

-- name: log_lags
-- Of each consumer, for how long the first row that it has not passed has been there: one index lookup for each.
SELECT c.consumer, coalesce(extract(epoch FROM clock_timestamp() - next.at), 0)::float8
FROM log_cursors c LEFT JOIN LATERAL (
    SELECT at FROM event_log WHERE (tx, id) > (c.tx, c.id) ORDER BY tx, id LIMIT 1
) AS next ON true

-- name: log_size
-- The rows of the log, as backlog counts the queue.
SELECT CASE WHEN pg_relation_size('event_log') <= 4194304 THEN (SELECT count(*) FROM event_log)
    ELSE pg_stat_get_live_tuples('event_log'::regclass) END

-- name: trim_log
DELETE FROM event_log USING (SELECT tx, id FROM log_cursors ORDER BY tx, id LIMIT 1) AS slowest
WHERE (event_log.tx, event_log.id) <= (slowest.tx, slowest.id)
