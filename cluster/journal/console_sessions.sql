-- Who is logged in to the console.

-- name: open_console_session
INSERT INTO console_sessions (hash, token_hash, operator, created_at, expires_at)
VALUES (%(hash)s, %(token_hash)s, %(operator)s, %(at)s, %(expires_at)s)

-- name: console_session
SELECT token_hash, operator, created_at, expires_at FROM console_sessions
WHERE hash = %(hash)s AND expires_at > %(at)s

-- name: close_console_session
DELETE FROM console_sessions WHERE hash = %(hash)s
