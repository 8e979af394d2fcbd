-- Names that operators type.

-- name: queued_domains
-- Domains of the oldest and the newest deliveries. An index on domains would add to the cost of each message.
SELECT DISTINCT domain FROM (
    (SELECT domain FROM deliveries ORDER BY message_id, recipient_no LIMIT %(sample)s)
    UNION ALL
    (SELECT domain FROM deliveries ORDER BY message_id DESC, recipient_no DESC LIMIT %(sample)s)) AS ends
ORDER BY domain LIMIT %(limit)s

-- name: is_queued_domain
SELECT FROM deliveries
WHERE domain = %(domain)s AND status IN ('queued', 'processing', 'rendered', 'sending') LIMIT 1

-- name: is_queued_pool
SELECT FROM deliveries
WHERE pool = %(pool)s AND status IN ('queued', 'processing', 'rendered', 'sending') LIMIT 1

-- name: is_batch
SELECT FROM batches WHERE id = %(batch_id)s

-- name: tenants_like
SELECT id, name FROM tenants WHERE deleted_at IS NULL
ORDER BY id = %(text)s OR name = %(text)s DESC, starts_with(id, %(text)s) OR starts_with(name, %(text)s) DESC, id
LIMIT %(limit)s
