-- Nodes that drain (postray drain), those among them on which no delivery actor runs. closed: their API processes that
-- take no more requests.
CREATE TABLE draining_nodes (
    node_id  text COLLATE "C" PRIMARY KEY,
    since    timestamptz NOT NULL DEFAULT now(),
    closed   text[] NOT NULL DEFAULT '{}'
);
INSERT INTO draining_nodes (node_id) SELECT DISTINCT node_id FROM delivery_actors WHERE draining;
