-- TLS reports: what is to be sent, and what was.

-- name: plan_tls_reports
-- Look-ups for the given domains of a day; those that were planned before stay as they are.
INSERT INTO tls_reports (day, domain, destination, due_at, until)
SELECT %(day)s, domain, '', %(begin)s::timestamptz + random() * %(spread)s::interval, %(until)s
FROM unnest(%(domains)s::text[]) AS domain
ON CONFLICT DO NOTHING

-- name: ask_for_tls_reports
-- An operator has the reports of these domains sent now: their records are looked up again, and what is not sent is due.
INSERT INTO tls_reports AS t (day, domain, destination, due_at, until)
SELECT %(day)s, domain, '', %(now)s, %(until)s FROM unnest(%(domains)s::text[]) AS domain
ON CONFLICT (day, domain, destination) DO UPDATE SET due_at = excluded.due_at, until = excluded.until, attempts = 0

-- name: take_tls_reports
-- The lease ends by itself where the process dies.
UPDATE tls_reports AS t SET due_at = %(lease_until)s, attempts = t.attempts + 1
FROM (
    SELECT day, domain, destination FROM tls_reports
    WHERE due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS due
WHERE t.day = due.day AND t.domain = due.domain AND t.destination = due.destination
RETURNING t.day, t.domain, t.destination, t.attempts, t.until

-- name: add_tls_reports
-- What was sent before stays sent.
INSERT INTO tls_reports AS t (day, domain, destination, due_at, until)
SELECT %(day)s, %(domain)s, destination, %(now)s, %(until)s FROM unnest(%(destinations)s::text[]) AS destination
ON CONFLICT (day, domain, destination)
DO UPDATE SET due_at = excluded.due_at, until = excluded.until, attempts = 0 WHERE t.sent_at IS NULL

-- name: tls_report_ended
UPDATE tls_reports SET due_at = NULL, sent_at = %(sent_at)s, result = %(result)s
WHERE day = %(day)s AND domain = %(domain)s AND destination = %(destination)s

-- name: tls_report_again
UPDATE tls_reports SET due_at = %(due_at)s, result = %(result)s
WHERE day = %(day)s AND domain = %(domain)s AND destination = %(destination)s

-- name: tls_reports_of
SELECT domain, destination, due_at, sent_at, result FROM tls_reports
WHERE day = %(day)s AND domain = ANY (%(domains)s::text[])
ORDER BY domain, destination
