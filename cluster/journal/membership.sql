-- Membership: lives of delivery actors, leases of dead ones, and nodes.

-- name: holder
-- The machine whose session has an advisory lock, and since when it is connected.
SELECT coalesce(host(client_addr), 'this machine'), backend_start
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = %(lock)s::bigint::oid AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: new_epoch
SELECT nextval('delivery_epochs')

-- name: register_actor
-- A node that drains goes on to; one that got the names of a drained one that is gone does not drain.
INSERT INTO delivery_actors (name, epoch, node_id, draining)
VALUES (%(name)s, %(epoch)s, %(node_id)s, EXISTS (SELECT FROM draining_nodes WHERE node_id = %(node_id)s))
ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, node_id = excluded.node_id, started_at = now(), seen_at = now(),
    draining = excluded.draining

-- name: epoch_of
SELECT epoch FROM delivery_actors WHERE name = %(name)s FOR UPDATE

-- name: take_back
-- moves: processing, sending -> queued (lease_expired)
-- Due now: their owner is dead.
UPDATE deliveries SET status = 'queued', owner = NULL, due_at = now()
WHERE owner = %(epoch)s AND status IN ('processing', 'sending')

-- name: heartbeat
-- Of a life, with the ring that it has acknowledged; returns the live members, or nothing to a life that is over. What
-- a statement reads is from before its own changes, so the life's own row is the one that was written.
WITH own AS (
    UPDATE delivery_actors SET seen_at = now(), ring = %(ring)s, sources = %(sources)s
    WHERE name = %(name)s AND epoch = %(epoch)s
    RETURNING name, ring, draining, sources
), live AS (
    SELECT * FROM own
    UNION ALL
    SELECT name, ring, draining, sources FROM delivery_actors
    WHERE seen_at > now() - make_interval(secs => %(alive_s)s) AND name <> %(name)s AND EXISTS (SELECT FROM own)
)
SELECT name, ring, draining, sources, (SELECT version FROM site_assignment) FROM live ORDER BY name

-- name: live_members
SELECT name, ring, draining, sources, (SELECT version FROM site_assignment) FROM delivery_actors
WHERE seen_at > now() - make_interval(secs => %(alive_s)s) ORDER BY name

-- name: drain_node
INSERT INTO draining_nodes (node_id) VALUES (%(node_id)s) ON CONFLICT DO NOTHING

-- name: drain_actors
UPDATE delivery_actors SET draining = true WHERE node_id = %(node_id)s

-- name: forget_draining_nodes
-- Nodes that are gone. A node has a new id when its Ray is started anew.
DELETE FROM draining_nodes WHERE node_id <> ALL (%(node_ids)s::text[])

-- name: undrain_node
DELETE FROM draining_nodes WHERE node_id = %(node_id)s

-- name: undrain_actors
UPDATE delivery_actors SET draining = false WHERE node_id = %(node_id)s AND draining

-- name: is_draining
SELECT EXISTS (SELECT FROM draining_nodes WHERE node_id = %(node_id)s)

-- name: tell_closed
UPDATE draining_nodes SET closed = closed || %(name)s::text WHERE node_id = %(node_id)s AND %(name)s <> ALL (closed)

-- name: held_by_nodes
-- The nodes of delivery actors, and all that drain: how many deliveries each holds, and which processes take nothing more from outside.
SELECT node_id, n.node_id IS NOT NULL, coalesce(held, 0), coalesce(closed, '{}')
FROM draining_nodes n FULL JOIN (
    SELECT a.node_id, count(d.message_id) AS held
    FROM delivery_actors a LEFT JOIN deliveries d ON d.owner = a.epoch AND d.status IN ('processing', 'sending')
    GROUP BY a.node_id
) a USING (node_id)
ORDER BY node_id

-- name: forget_actor
DELETE FROM delivery_actors WHERE name = %(name)s AND epoch = %(epoch)s

-- name: delivery_actors
SELECT name, epoch, sources, (SELECT version FROM site_assignment) FROM delivery_actors
WHERE seen_at > now() - make_interval(secs => %(alive_s)s) AND NOT draining ORDER BY name

-- name: lost_actors
SELECT name, epoch FROM delivery_actors WHERE seen_at <= now() - make_interval(secs => %(alive_s)s) ORDER BY name
