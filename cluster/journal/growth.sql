-- A cluster that grows by itself.

-- name: wanted_nodes
SELECT nodes, going FROM wanted_nodes

-- name: want_nodes
UPDATE wanted_nodes SET nodes = %(nodes)s, going = %(going)s
