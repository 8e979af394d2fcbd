-- What operators did.

-- name: begin_operator_command
INSERT INTO operator_audit (at, operator, way, address, command, subject, outcome)
VALUES (%(at)s, %(operator)s, %(way)s, %(address)s, %(command)s, %(subject)s, '')
RETURNING id

-- name: end_operator_command
UPDATE operator_audit SET outcome = %(outcome)s WHERE id = %(id)s

-- name: repeat_operator_command
-- Where it is what the operator did last, within the hour before: counted there, in place of a row of its own. The row
-- before this one by all columns of the index: only so no plan looks back through what others did since.
WITH this AS (SELECT * FROM operator_audit WHERE id = %(id)s),
last AS (
    SELECT (SELECT before.id FROM operator_audit AS before
        WHERE (before.operator, before.way, before.id) < (this.operator, this.way, this.id)
        ORDER BY before.operator DESC, before.way DESC, before.id DESC LIMIT 1) AS id
    FROM this),
repeated AS (
    UPDATE operator_audit AS before SET times = before.times + 1, last_at = this.at
    FROM this, last
    WHERE before.id = last.id AND before.operator = this.operator AND before.way = this.way
        AND before.command = this.command AND before.subject = this.subject AND before.address = this.address
        AND before.outcome = %(outcome)s AND before.at > this.at - interval '1 day'
        AND coalesce(before.last_at, before.at) > this.at - interval '1 hour'
    RETURNING before.id)
DELETE FROM operator_audit WHERE id = (SELECT this.id FROM this, repeated)

-- name: operator_commands
SELECT id, at, operator, way, address, command, subject, outcome, times, last_at FROM operator_audit
WHERE id < %(before)s ORDER BY id DESC LIMIT %(limit)s

-- name: operator_command
SELECT id, at, operator, way, address, command, subject, outcome, times, last_at FROM operator_audit WHERE id = %(id)s
