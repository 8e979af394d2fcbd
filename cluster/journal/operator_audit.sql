-- What operators did.

-- name: begin_operator_command
INSERT INTO operator_audit (at, operator, address, command, subject, outcome)
VALUES (%(at)s, %(operator)s, %(address)s, %(command)s, %(subject)s, '')
RETURNING id

-- name: end_operator_command
UPDATE operator_audit SET outcome = %(outcome)s WHERE id = %(id)s

-- name: operator_commands
SELECT id, at, operator, address, command, subject, outcome FROM operator_audit
WHERE id < %(before)s ORDER BY id DESC LIMIT %(limit)s
