-- Nodes that were taken out.

-- name: leave_node
INSERT INTO left_nodes (node_id) VALUES (%(node_id)s) ON CONFLICT DO NOTHING

-- name: bring_back_nodes
DELETE FROM left_nodes WHERE node_id = ANY (%(node_ids)s::text[])

-- name: forget_left_nodes
DELETE FROM left_nodes WHERE node_id <> ALL (%(node_ids)s::text[])

-- name: left_nodes
SELECT node_id FROM left_nodes
