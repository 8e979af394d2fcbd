-- A cluster that grows by itself: how many nodes it wants, and which one is on its way out. One row.

CREATE TABLE wanted_nodes (
    is_only  boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    nodes    integer NOT NULL DEFAULT 0, -- 0: nothing was decided yet
    going    text COLLATE "C" NOT NULL DEFAULT ''
);
INSERT INTO wanted_nodes DEFAULT VALUES;
