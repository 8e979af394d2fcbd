-- What there is one of in a cluster: which life of it may write (cluster/journal/singletons.py).

CREATE TABLE singletons (
    kind      text COLLATE "C" PRIMARY KEY,
    epoch     bigint NOT NULL,
    began_at  timestamptz NOT NULL DEFAULT now(),
    host      text NOT NULL,
    pid       integer NOT NULL
);

-- Nodes that were taken out (postray down --node): nothing runs on them until they are brought back.
CREATE TABLE left_nodes (
    node_id  text COLLATE "C" PRIMARY KEY,
    left_at  timestamptz NOT NULL DEFAULT now()
);

-- Tells this journal from any other.
CREATE TABLE installation (
    id  uuid PRIMARY KEY DEFAULT gen_random_uuid()
);
INSERT INTO installation DEFAULT VALUES;
