-- Lives of what there is one of in a cluster (cluster/journal/fence.py).

-- name: begin_life
INSERT INTO singletons (kind, epoch, host, pid) VALUES (%(kind)s, 1, %(host)s, %(pid)s)
ON CONFLICT (kind) DO UPDATE SET epoch = singletons.epoch + 1, began_at = now(), host = excluded.host, pid = excluded.pid
RETURNING epoch

-- name: end_sessions
-- Ends the sessions of other lives; returns those that are there still.
SELECT pid, pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %(locks)s::bigint::oid AND objid = hashtext(%(kind)s)::oid AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()

-- name: living
-- The last life of a kind, if it has a session.
SELECT host, pid, began_at FROM singletons WHERE kind = %(kind)s AND EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND classid = %(locks)s::bigint::oid AND objid = hashtext(%(kind)s)::oid AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)

-- name: has_installation
SELECT to_regclass('installation') IS NOT NULL

-- name: installation_id
SELECT id::text FROM installation
