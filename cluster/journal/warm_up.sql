-- Sources in warm-up.

-- name: take_warm_up
-- One row and one statement: a second caller waits for the first and sees its portion. The portion is a column because
-- RETURNING sees only the new row. A lowered cap does not take granted portions back.
INSERT INTO warm_up_days AS w (source, site, day, granted, portion, cap)
VALUES (%(source)s, %(site)s, %(day)s, least(%(want)s::int, %(cap)s::int), least(%(want)s::int, %(cap)s::int), %(cap)s)
ON CONFLICT (day, source, site) DO UPDATE
SET portion = greatest(0, least(%(want)s::int, excluded.cap - w.granted)),
    granted = w.granted + greatest(0, least(%(want)s::int, excluded.cap - w.granted)),
    cap = excluded.cap
RETURNING portion

-- name: give_back_warm_up
UPDATE warm_up_days SET granted = greatest(0, granted - %(count)s::int)
WHERE day = %(day)s AND source = %(source)s AND site = %(site)s

-- name: exhausted_warm_ups
SELECT source, site, granted, cap FROM warm_up_days WHERE day = %(day)s AND granted >= cap

-- name: warm_up_usage
SELECT source, site, granted, cap FROM warm_up_days WHERE day = %(day)s
ORDER BY source, granted DESC, site LIMIT %(limit)s
