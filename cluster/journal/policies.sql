-- The versions of the policies.

-- name: policies
SELECT version, shaping, routing FROM policies ORDER BY version DESC LIMIT 1

-- name: policies_version
SELECT coalesce(max(version), 0) FROM policies

-- name: add_policies
INSERT INTO policies (shaping, routing) VALUES (%(shaping)s, %(routing)s) RETURNING version
