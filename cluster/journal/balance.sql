-- What delivery actors carry, and the assignment of heavy destinations that follows from it.

-- name: report_load
INSERT INTO delivery_loads (name, load) VALUES (%(name)s, %(load)s)
ON CONFLICT (name) DO UPDATE SET load = excluded.load, at = clock_timestamp()

-- name: loads
SELECT name, load, extract(epoch FROM clock_timestamp() - at)::float8 FROM delivery_loads
WHERE at > clock_timestamp() - make_interval(secs => %(within_s)s)

-- name: assignment
SELECT version, assignment FROM site_assignment

-- name: assign
-- Nothing when another process was first.
UPDATE site_assignment SET version = %(version)s, assignment = %(assignment)s WHERE version = %(former)s
