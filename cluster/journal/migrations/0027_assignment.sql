-- Heavy destinations have an owner by name, and hot sites have shares (cluster/policy/balance).

-- One row. Every process reads the version with each look at the members, and the rest when it has changed.
CREATE TABLE site_assignment (
    is_only       boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version       bigint NOT NULL,
    assignment    bytea NOT NULL
);
INSERT INTO site_assignment (version, assignment) VALUES (0, '');

-- What each delivery actor carries, in its own words, every few seconds. Nothing is lost with it.
CREATE UNLOGGED TABLE delivery_loads (
    name          text PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    load          bytea NOT NULL
);
