-- What happened to processes and to the journal.

-- name: note_happenings
-- Also notes when the server began (as in server_began), unless that is noted already: a process that has something to note
-- has often just lost its connections.
INSERT INTO happenings (kind, actor, began_at, ended_at)
SELECT kind, actor, to_timestamp(began_at), to_timestamp(ended_at)
FROM unnest(%(kinds)s::text[], %(actors)s::text[], %(began)s::float8[], %(ended)s::float8[])
    AS noted (kind, actor, began_at, ended_at)
UNION ALL
SELECT kind, '', at, at
FROM (VALUES ('journal_started', pg_postmaster_start_time()),
    ('journal_recovered', (SELECT min(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer')))
    AS server (kind, at)
WHERE at IS NOT NULL AND NOT EXISTS (SELECT FROM happenings h WHERE h.noted_at >= server.at AND h.kind = server.kind)

-- name: note_rewriting
-- In the transaction that rewrites a partition: it is noted if, and only if, it is done.
INSERT INTO happenings (kind, actor, began_at, ended_at) VALUES (%(kind)s, '', now(), clock_timestamp())

-- name: happenings_since
-- The newest ones.
SELECT kind, actor, extract(epoch FROM began_at)::float8, extract(epoch FROM ended_at)::float8
FROM happenings WHERE noted_at > now() - make_interval(secs => %(age_s)s) ORDER BY noted_at DESC LIMIT %(most)s
