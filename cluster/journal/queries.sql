-- Every statement the journal makes, by name. A line on what it does; for the queue also which transition of
-- policy/lifecycle.py it makes. Batches take SKIP LOCKED: nobody waits for a row, so nobody deadlocks.

-- name: key_by_hash
SELECT id, tenant_id, scopes, sandbox FROM api_keys WHERE hash = %(hash)s AND revoked_at IS NULL

-- name: create_tenant
INSERT INTO tenants (id, name) VALUES (%(id)s, %(name)s)

-- name: tenant_named
SELECT id FROM tenants WHERE name = %(name)s

-- name: create_key
INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes, sandbox)
VALUES (%(id)s, %(tenant_id)s, %(name)s, %(prefix)s, %(hash)s, %(scopes)s, %(sandbox)s)

-- name: create_domain
INSERT INTO sender_domains (tenant_id, domain, verified_at)
VALUES (%(tenant_id)s, %(domain)s, CASE WHEN %(verified)s THEN now() END)
RETURNING id

-- name: create_dkim_key
INSERT INTO dkim_keys (domain_id, selector, public_key, sealed_private_key)
VALUES (%(domain_id)s, %(selector)s, %(public_key)s, %(sealed_private_key)s)

-- name: is_verified_domain
SELECT EXISTS (
    SELECT FROM sender_domains WHERE tenant_id = %(tenant_id)s AND domain = %(domain)s AND verified_at IS NOT NULL)

-- name: sender_domains
SELECT s.id, s.domain, s.verified_at IS NOT NULL, k.selector, k.public_key
FROM sender_domains s JOIN dkim_keys k ON k.domain_id = s.id AND k.active
WHERE s.tenant_id = %(tenant_id)s
ORDER BY s.id, k.id

-- name: dkim_key
SELECT s.domain, k.selector, k.sealed_private_key
FROM sender_domains s JOIN dkim_keys k ON k.domain_id = s.id AND k.active
WHERE s.tenant_id = %(tenant_id)s AND s.domain = %(domain)s
ORDER BY k.id LIMIT 1

-- name: create_batch
INSERT INTO batches (id, tenant_id) VALUES (%(id)s, %(tenant_id)s)

-- name: batch_exists
SELECT EXISTS (SELECT FROM batches WHERE id = %(batch_id)s AND tenant_id = %(tenant_id)s)

-- name: batch
SELECT created_at FROM batches WHERE id = %(batch_id)s AND tenant_id = %(tenant_id)s

-- name: batch_tallies
SELECT status::text, sum(messages)::bigint, max(last_at) FROM batch_tallies WHERE batch_id = %(batch_id)s GROUP BY status

-- name: batch_held
-- Messages of a batch that an actor holds; a handful, whatever the batch's size.
SELECT least_advanced::text, count(*) FROM (
    SELECT min(status) AS least_advanced FROM deliveries
    WHERE batch_id = %(batch_id)s AND status IN ('processing', 'rendered', 'sending')
    GROUP BY message_id) AS held
GROUP BY least_advanced

-- name: tally
INSERT INTO batch_tallies (batch_id, shard, status, messages, last_at)
SELECT batch_id, %(shard)s, status::delivery_status, messages, %(at)s
FROM unnest(%(batch_ids)s::text[], %(statuses)s::text[], %(messages)s::bigint[]) AS t (batch_id, status, messages)
ORDER BY batch_id, status
ON CONFLICT (batch_id, shard, status)
DO UPDATE SET messages = batch_tallies.messages + excluded.messages, last_at = excluded.last_at

-- name: keep_attachment
INSERT INTO attachments (sha256, content) VALUES (%(sha256)s, %(content)s) ON CONFLICT DO NOTHING

-- name: attachments
SELECT sha256, content FROM attachments WHERE sha256 = ANY (%(hashes)s::bytea[])

-- name: contents
SELECT id, content FROM requests WHERE id = ANY (%(request_ids)s::text[])

-- name: append_log
INSERT INTO event_log (events) SELECT unnest(%(batches)s::bytea[])

-- name: finish_sandboxed
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT %(tenant_id)s, unnest(%(message_ids)s::text[]), 'sandbox', %(at)s, 0

-- name: due
-- Rows that are due, or whose lease or lifetime is over, oldest first; they stay locked until it is decided on them.
SELECT message_id, recipient_no, tenant_id, domain, recipient, batch_id, attempts, alone, expires_at <= now(),
    error_message
FROM deliveries
WHERE due_at <= now()
ORDER BY due_at LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: anything_due
SELECT EXISTS (SELECT FROM deliveries WHERE due_at <= now())

-- name: lease
-- queued | processing | sending (its lease over) → processing, held by the owner that dispatch chose.
UPDATE deliveries AS d
SET status = 'processing', owner = k.owner, lane = NULL, due_at = now() + make_interval(secs => %(lease_s)s)
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(owners)s::bigint[]) AS k (message_id, recipient_no, owner)
WHERE d.message_id = k.message_id AND d.recipient_no = k.recipient_no

-- name: park
-- processing | sending (its lease over) → queued: the owner had no room. It waits in its lane, and is looked at again when its lifetime ends.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, lane = k.lane, due_at = d.expires_at
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(lanes)s::text[]) AS k (message_id, recipient_no, lane)
WHERE d.message_id = k.message_id AND d.recipient_no = k.recipient_no
    AND (d.status IN ('queued', 'processing') OR (d.status = 'sending' AND d.due_at <= now()))

-- name: unpark
-- queued → processing: the owner of a lane takes the oldest that are parked there.
WITH next AS (
    SELECT message_id, recipient_no FROM deliveries
    WHERE lane = %(lane)s AND tenant_id = %(tenant_id)s
    ORDER BY message_id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE deliveries AS d
SET status = 'processing', owner = %(owner)s, lane = NULL, due_at = now() + make_interval(secs => %(lease_s)s)
FROM next WHERE d.message_id = next.message_id AND d.recipient_no = next.recipient_no
RETURNING d.message_id, d.recipient_no, d.tenant_id, d.domain

-- name: lanes
-- Every lane that holds something: one probe of the index for each, however much it holds.
WITH RECURSIVE held AS (
    (SELECT lane, tenant_id FROM deliveries WHERE lane IS NOT NULL ORDER BY lane, tenant_id LIMIT 1)
    UNION ALL
    SELECT further.lane, further.tenant_id
    FROM held, LATERAL (
        SELECT lane, tenant_id FROM deliveries
        WHERE lane IS NOT NULL AND (lane, tenant_id) > (held.lane, held.tenant_id)
        ORDER BY lane, tenant_id LIMIT 1) AS further
)
SELECT lane, tenant_id FROM held

-- name: empty_lane
-- Deliveries of a lane that nobody owns any more, due now; a page at a time.
WITH next AS (
    SELECT message_id, recipient_no FROM deliveries WHERE lane = %(lane)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE deliveries AS d SET lane = NULL, due_at = now()
FROM next WHERE d.message_id = next.message_id AND d.recipient_no = next.recipient_no

-- name: claim
-- queued | processing → sending: the fence. What is not returned was cancelled, finished, or is in other hands.
WITH mine AS (
    SELECT d.message_id, d.recipient_no
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
    JOIN deliveries d USING (message_id, recipient_no)
    WHERE d.status IN ('queued', 'processing') AND d.expires_at > now()
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d
SET status = 'sending', attempts = attempts + 1, owner = %(owner)s, lane = NULL,
    due_at = now() + make_interval(secs => %(lease_s)s)
FROM mine JOIN messages m ON m.id = mine.message_id
WHERE d.message_id = mine.message_id AND d.recipient_no = mine.recipient_no AND m.tenant_id = d.tenant_id
RETURNING d.message_id, d.recipient_no, d.recipient, d.tenant_id, m.request_id, d.batch_id, d.attempts, d.alone,
    m.created_at, d.expires_at, m.personal

-- name: finish_alone
-- sending → delivered | sent | bounced | failed, for messages of one recipient. An outcome is a fact: it counts
-- even when the lease has passed to another owner meanwhile. Returns the batches' changes.
WITH told AS (
    SELECT * FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(statuses)s::text[], %(errors)s::text[])
        AS t (message_id, recipient_no, status, error_message)
), gone AS (
    DELETE FROM deliveries AS d USING told AS t
    WHERE d.message_id = t.message_id AND d.recipient_no = t.recipient_no
    RETURNING d.tenant_id, d.message_id, d.batch_id, t.status::delivery_status AS status, d.attempts, t.error_message
), kept AS (
    INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message)
    SELECT tenant_id, message_id, status, %(at)s, greatest(attempts - 1, 0), error_message FROM gone
)
SELECT batch_id, status::text, count(*) FROM gone WHERE batch_id IS NOT NULL GROUP BY batch_id, status

-- name: defer
-- sending → queued, due again later; only by the owner of the claim.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, due_at = t.due_at, error_message = t.error_message
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(due_ats)s::timestamptz[], %(errors)s::text[])
    AS t (message_id, recipient_no, due_at, error_message)
WHERE d.message_id = t.message_id AND d.recipient_no = t.recipient_no AND d.status = 'sending' AND d.owner = %(owner)s

-- name: lock_messages
-- Serialises the fold of messages with several recipients.
SELECT FROM messages WHERE (tenant_id, id) IN (SELECT * FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[]))
ORDER BY tenant_id, id FOR NO KEY UPDATE

-- name: finish_one_of_many
-- sending → a finished status, for one of several recipients: the row stays until the whole message is finished.
UPDATE deliveries AS d
SET status = t.status::delivery_status, owner = NULL, due_at = 'infinity', error_message = t.error_message
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(statuses)s::text[], %(errors)s::text[])
    AS t (message_id, recipient_no, status, error_message)
WHERE d.message_id = t.message_id AND d.recipient_no = t.recipient_no
    AND d.status IN ('queued', 'processing', 'rendered', 'sending')

-- name: fold_finished
-- Ends messages all of whose recipients are finished. Returns the batches' changes.
WITH whole AS (
    SELECT tenant_id, message_id, min(batch_id) AS batch_id, min(status) AS status, max(attempts) AS attempts,
        min(error_message) AS error_message
    FROM deliveries WHERE message_id = ANY (%(message_ids)s::text[])
    GROUP BY tenant_id, message_id HAVING min(status) > 'sending'
), gone AS (
    DELETE FROM deliveries USING whole WHERE deliveries.message_id = whole.message_id
), kept AS (
    INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message)
    SELECT tenant_id, message_id, status, %(at)s, greatest(attempts - 1, 0), error_message FROM whole
)
SELECT batch_id, status::text, count(*) FROM whole WHERE batch_id IS NOT NULL GROUP BY batch_id, status

-- name: lock_deliveries
-- The deliveries of one message, for a decision about all of them.
SELECT recipient_no, recipient, status::text, attempts, batch_id FROM deliveries
WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s
ORDER BY recipient_no FOR UPDATE

-- name: finish_message
-- Ends a message with all its deliveries: queued | processing → cancelled | failed.
WITH gone AS (
    DELETE FROM deliveries WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s RETURNING attempts
)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message)
SELECT %(tenant_id)s, %(message_id)s, %(status)s::delivery_status, %(at)s, greatest(max(attempts) - 1, 0), %(error_message)s
FROM gone

-- name: status_of
SELECT coalesce(
    (SELECT status FROM outcomes WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s),
    (SELECT min(status) FROM deliveries WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s))::text

-- name: message
SELECT m.id, m.tenant_id, m.request_id, m.batch_id, m.created_at, m.send_at, r.content, m.personal,
    coalesce(o.status, q.status)::text, coalesce(o.retry_count, greatest(q.attempts - 1, 0)),
    CASE WHEN q.attempts > 0 AND q.status = 'queued' THEN q.due_at END, o.finished_at,
    coalesce(o.error_message, q.error_message)
FROM messages m
JOIN requests r ON r.id = m.request_id
LEFT JOIN outcomes o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
LEFT JOIN LATERAL (
    SELECT min(status) AS status, max(attempts) AS attempts, min(due_at) AS due_at, min(error_message) AS error_message
    FROM deliveries d WHERE d.message_id = m.id) q ON true
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s

-- name: messages
-- The list, newest first. {where} is put together in reading.py from fixed conditions.
SELECT m.id, m.tenant_id, m.request_id, m.batch_id, m.created_at, m.send_at, r.content, m.personal,
    coalesce(o.status, q.status)::text, coalesce(o.retry_count, greatest(q.attempts - 1, 0)),
    CASE WHEN q.attempts > 0 AND q.status = 'queued' THEN q.due_at END, o.finished_at,
    coalesce(o.error_message, q.error_message)
FROM messages m
JOIN requests r ON r.id = m.request_id
LEFT JOIN outcomes o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
LEFT JOIN LATERAL (
    SELECT min(status) AS status, max(attempts) AS attempts, min(due_at) AS due_at, min(error_message) AS error_message
    FROM deliveries d WHERE d.message_id = m.id) q ON true
WHERE {where}
ORDER BY m.id DESC LIMIT %(limit)s OFFSET %(offset)s

-- name: count_messages
SELECT count(*) FROM (
    SELECT FROM messages m
    JOIN requests r ON r.id = m.request_id
    LEFT JOIN outcomes o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
    LEFT JOIN LATERAL (SELECT min(status) AS status FROM deliveries d WHERE d.message_id = m.id) q ON true
    WHERE {where} LIMIT %(bound)s) AS found

-- name: log_after
SELECT l.tx::text::bigint, l.id, l.events
FROM log_cursors c
JOIN event_log l ON (l.tx, l.id) > (c.tx, c.id)
WHERE c.consumer = %(consumer)s AND l.tx < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY l.tx, l.id LIMIT %(limit)s

-- name: move_cursor
UPDATE log_cursors SET tx = %(tx)s::text::xid8, id = %(id)s, moved_at = now()
WHERE consumer = %(consumer)s AND (tx, id) < (%(tx)s::text::xid8, %(id)s)

-- name: trim_log
DELETE FROM event_log USING (SELECT tx, id FROM log_cursors ORDER BY tx, id LIMIT 1) AS slowest
WHERE (event_log.tx, event_log.id) <= (slowest.tx, slowest.id)

-- name: new_epoch
SELECT nextval('delivery_epochs')

-- name: register_actor
INSERT INTO delivery_actors (name, epoch, node_id) VALUES (%(name)s, %(epoch)s, %(node_id)s)
ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, node_id = excluded.node_id, started_at = now(), seen_at = now()

-- name: epoch_of
SELECT epoch FROM delivery_actors WHERE name = %(name)s FOR UPDATE

-- name: take_back
-- processing | sending → queued, due now: their owner is dead.
UPDATE deliveries SET status = 'queued', owner = NULL, due_at = now()
WHERE owner = %(epoch)s AND status IN ('processing', 'sending')

-- name: seen
-- A life goes on, and has made way for a ring.
UPDATE delivery_actors SET seen_at = now(), ring = %(ring)s WHERE name = %(name)s AND epoch = %(epoch)s

-- name: live_members
SELECT name, ring, draining FROM delivery_actors
WHERE seen_at > now() - make_interval(secs => %(alive_s)s) ORDER BY name

-- name: drain_node
UPDATE delivery_actors SET draining = true WHERE node_id = %(node_id)s

-- name: is_draining
SELECT coalesce(bool_and(draining), false) FROM delivery_actors WHERE node_id = %(node_id)s

-- name: held_by_nodes
-- The nodes of delivery actors, how many deliveries each holds, and whether it is leaving.
SELECT a.node_id, bool_and(a.draining), count(d.message_id)
FROM delivery_actors a LEFT JOIN deliveries d ON d.owner = a.epoch AND d.status IN ('processing', 'sending')
GROUP BY a.node_id ORDER BY a.node_id

-- name: forget_actor
DELETE FROM delivery_actors WHERE name = %(name)s AND epoch = %(epoch)s

-- name: delivery_actors
SELECT name, epoch FROM delivery_actors
WHERE seen_at > now() - make_interval(secs => %(alive_s)s) AND NOT draining ORDER BY name

-- name: lost_actors
SELECT name, epoch FROM delivery_actors WHERE seen_at <= now() - make_interval(secs => %(alive_s)s) ORDER BY name
