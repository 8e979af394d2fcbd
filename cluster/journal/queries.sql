-- Every statement the journal makes, by name, with a line on what it does. A statement that changes what deliveries are
-- (it inserts or deletes rows of deliveries or outcomes, or sets a status) has a line for each status it leads to:
-- "moves: status, status -> status (transition, transition)", with the transitions of policy/lifecycle.py. "new" is what
-- the journal did not have before. "moves: nothing" is for a statement that only keeps the books of a move made by
-- another. Tests hold these lines against the table, and what happens in Postgres against these lines.
-- Batches take SKIP LOCKED: no statement waits for a row, so none deadlocks.
-- A batch finds its deliveries by "= ANY (ARRAY[id])", which says no more than "= id", but leaves one plan only: each by
-- the primary key. With the plain equation the planner goes through the whole queue, if that was empty when it planned.

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

-- name: sealed
-- What was sealed with the cluster's secret, the newest first, by name.
(SELECT 'the DKIM key of ' || s.domain, k.sealed_private_key
 FROM dkim_keys k JOIN sender_domains s ON s.id = k.domain_id ORDER BY k.id DESC LIMIT %(limit)s)
UNION ALL
(SELECT 'routing.toml, version ' || version, routing FROM policies ORDER BY version DESC LIMIT 1)
LIMIT %(limit)s

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

-- name: accept
-- moves: new -> queued (submitted)
-- Requests with their messages, deliveries and events. In one statement, as a round trip costs as much as ten messages.
-- Messages and deliveries name their request by its number, so that what it gives each of them travels once; send times
-- that are not given are NULL.
WITH accepted AS (
    INSERT INTO requests (id, tenant_id, created_at, template_id, categories, content, pool)
    SELECT id, tenant_id, created_at, template_id, categories::text[], content, pool
    FROM unnest(%(ids)s::text[], %(tenant_ids)s::text[], %(created_ats)s::timestamptz[], %(template_ids)s::text[],
        %(categories)s::text[], %(contents)s::bytea[], %(pools)s::text[])
        AS r (id, tenant_id, created_at, template_id, categories, content, pool)
), composed AS (
    INSERT INTO messages
        (tenant_id, id, request_id, batch_id, created_at, send_at, from_email, to_emails, subject, personal)
    SELECT (%(tenant_ids)s::text[])[request], id, (%(ids)s::text[])[request], (%(batch_ids)s::text[])[request],
        (%(created_ats)s::timestamptz[])[request], send_at, from_email, to_emails::text[], subject, personal
    FROM unnest(%(message_requests)s::int8[], %(message_ids)s::text[], %(send_ats)s::timestamptz[],
        %(from_emails)s::text[], %(to_emails)s::text[], %(subjects)s::text[], %(personals)s::bytea[])
        AS m (request, id, send_at, from_email, to_emails, subject, personal)
), queued AS (
    INSERT INTO deliveries
        (message_id, recipient_no, tenant_id, batch_id, domain, recipient, due_at, expires_at, alone, pool)
    SELECT message_id, recipient_no, (%(tenant_ids)s::text[])[request], (%(batch_ids)s::text[])[request],
        domain, recipient, coalesce(due_at, (%(created_ats)s::timestamptz[])[request] + %(grace)s), expires_at, alone,
        (%(pools)s::text[])[request]
    FROM unnest(%(delivery_requests)s::int8[], %(delivery_messages)s::text[], %(recipient_nos)s::int8[],
        %(domains)s::text[], %(recipients)s::text[], %(due_ats)s::timestamptz[], %(expires_ats)s::timestamptz[],
        %(alone)s::bool[])
        AS d (request, message_id, recipient_no, domain, recipient, due_at, expires_at, alone)
)
INSERT INTO event_log (events) SELECT unnest(%(events)s::bytea[])

-- name: append_log
INSERT INTO event_log (events) SELECT unnest(%(batches)s::bytea[])

-- name: finish_sandboxed
-- moves: new -> sandbox (sandboxed)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT %(tenant_id)s, unnest(%(message_ids)s::text[]), 'sandbox', %(at)s, 0

-- name: due
-- Rows that are due, or whose lease or lifetime is over, oldest first; they stay locked until it is decided on them.
SELECT message_id, recipient_no, tenant_id, domain, recipient, batch_id, attempts, alone, expires_at <= now(),
    error_message, pool, route
FROM deliveries
WHERE due_at <= now()
ORDER BY due_at LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: anything_due
-- The least due_at is the first entry of its index, whatever the planner believes of the rest.
SELECT coalesce(min(due_at) <= now(), false) FROM deliveries

-- name: lease
-- moves: queued, processing, sending -> processing (leased)
-- Held by the owner that dispatch chose, until its lifetime ends at the latest. What was sending has its lease over.
UPDATE deliveries AS d
SET status = 'processing', owner = k.owner, lane = NULL, due_at = least(now() + make_interval(secs => %(lease_s)s), d.expires_at)
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(owners)s::bigint[]) AS k (message_id, recipient_no, owner)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])

-- name: park
-- moves: queued, processing, sending -> queued (parked)
-- The owner had no room. It waits in its lane, and is looked at again when its lifetime ends. What was sending has its
-- lease over.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, lane = k.lane, due_at = d.expires_at
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(lanes)s::text[]) AS k (message_id, recipient_no, lane)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    AND (d.status IN ('queued', 'processing') OR (d.status = 'sending' AND d.due_at <= now()))

-- name: unpark
-- moves: queued -> processing (leased)
-- The owner of lanes takes the oldest that are parked there, lane after lane.
WITH asked AS (
    SELECT * FROM unnest(%(lanes)s::text[], %(tenant_ids)s::text[], %(limits)s::bigint[])
    WITH ORDINALITY AS asked (lane, tenant_id, most, number)
), next AS (
    SELECT asked.number, parked.message_id, parked.recipient_no FROM asked, LATERAL (
        -- Said so that only the index of the lanes has this order.
        SELECT message_id, recipient_no FROM deliveries
        WHERE lane IS NOT NULL AND (lane, tenant_id) >= (asked.lane, asked.tenant_id)
            AND (lane, tenant_id) <= (asked.lane, asked.tenant_id)
        ORDER BY lane, tenant_id, message_id LIMIT asked.most
        FOR UPDATE SKIP LOCKED) AS parked
    LIMIT %(limit)s
)
UPDATE deliveries AS d
SET status = 'processing', owner = %(owner)s, lane = NULL, due_at = least(now() + make_interval(secs => %(lease_s)s), d.expires_at)
FROM next WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])
RETURNING next.number, d.message_id, d.recipient_no, d.tenant_id, d.domain, d.pool, d.route

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
FROM next WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])

-- name: parked_in
-- What waits in these lanes, each from a delivery on, at most so many of each.
SELECT asked.number, parked.* FROM unnest(
    %(lanes)s::text[], %(tenant_ids)s::text[], %(message_ids)s::text[], %(recipient_nos)s::int[]
) WITH ORDINALITY AS asked (lane, tenant_id, message_id, recipient_no, number), LATERAL (
    -- Said so that only the index of the lanes has this order.
    SELECT message_id, recipient_no, tenant_id, domain, pool, route FROM deliveries
    WHERE lane IS NOT NULL AND (lane, tenant_id, message_id) >= (asked.lane, asked.tenant_id, asked.message_id)
        AND (lane, tenant_id) <= (asked.lane, asked.tenant_id)
        AND (message_id, recipient_no) > (asked.message_id, asked.recipient_no)
    ORDER BY lane, tenant_id, message_id, recipient_no LIMIT %(each)s) AS parked
ORDER BY asked.number, parked.message_id, parked.recipient_no

-- name: leave_lanes
-- Deliveries that have another place than their lane by now, due now.
WITH next AS (
    SELECT d.message_id, d.recipient_no
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(lanes)s::text[]) AS k (message_id, recipient_no, lane)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    WHERE d.lane = k.lane
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d SET lane = NULL, due_at = now()
FROM next WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])

-- name: claim
-- moves: queued, processing -> sending (claimed)
-- The fence. What is not returned was cancelled, finished, moved to another pool or route, or is in other hands.
WITH mine AS (
    SELECT d.message_id, d.recipient_no, d.tenant_id
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(pools)s::text[], %(routes)s::text[])
        AS k (message_id, recipient_no, pool, route)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    WHERE d.status IN ('queued', 'processing') AND d.expires_at > now() AND d.pool = k.pool AND d.route = k.route
        -- Of a paused batch nothing is claimed. The column is in the locked row itself, so that a claim which began
        -- before the pause, and comes to the row after it, is refused as well.
        AND (d.batch_id IS NULL OR (d.paused_due_at IS NULL
            AND NOT EXISTS (SELECT FROM scheduled_sends s WHERE s.batch_id = d.batch_id AND s.status = 'pause')))
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d
SET status = 'sending', attempts = attempts + 1, owner = %(owner)s, lane = NULL,
    due_at = now() + make_interval(secs => %(lease_s)s)
FROM mine JOIN messages m ON m.tenant_id = ANY (ARRAY[mine.tenant_id]) AND m.id = mine.message_id
WHERE d.message_id = ANY (ARRAY[mine.message_id]) AND d.recipient_no = ANY (ARRAY[mine.recipient_no])
RETURNING d.message_id, d.recipient_no, d.recipient, d.domain, d.tenant_id, m.request_id, d.batch_id, d.attempts,
    d.alone, m.created_at, coalesce(m.send_at, m.created_at),
    greatest(coalesce(m.send_at, m.created_at), d.released_at), d.expires_at, m.personal

-- name: finish_alone
-- moves: queued, processing, sending -> delivered (accepted)
-- moves: queued, processing, sending -> sent (relayed)
-- moves: queued, processing, sending -> bounced (rejected, expired)
-- moves: queued, processing, sending -> failed (gave_up, expired_untried, set_aside, failed)
-- Ends messages of one recipient. An outcome is a fact: it counts even when the lease has passed to another owner
-- meanwhile. Returns the batches' changes.
WITH told AS (
    SELECT * FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(statuses)s::text[], %(errors)s::text[])
        AS t (message_id, recipient_no, status, error_message)
), gone AS (
    DELETE FROM deliveries AS d USING told AS t
    WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no])
    RETURNING d.tenant_id, d.message_id, d.batch_id, t.status::delivery_status AS status, d.attempts, t.error_message
), kept AS (
    INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message)
    SELECT tenant_id, message_id, status, %(at)s, greatest(attempts - 1, 0), error_message FROM gone
)
SELECT batch_id, status::text, count(*) FROM gone WHERE batch_id IS NOT NULL GROUP BY batch_id, status

-- name: commit_alone
-- moves: queued, processing, sending -> delivered (accepted)
-- moves: queued, processing, sending -> sent (relayed)
-- moves: queued, processing, sending -> bounced (rejected, expired)
-- moves: queued, processing, sending -> failed (gave_up)
-- moves: sending -> queued (deferred)
-- finish_alone, defer, append_log and tally in one: most batches have no message of several recipients, and each round
-- trip costs as much as what is done for ten messages. No delivery is among both the ended and the deferred.
WITH gone AS (
    DELETE FROM deliveries AS d
    USING unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(statuses)s::text[], %(errors)s::text[])
        AS t (message_id, recipient_no, status, error_message)
    WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no])
    RETURNING d.tenant_id, d.message_id, d.batch_id, t.status::delivery_status AS status, d.attempts, t.error_message
), kept AS (
    INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message)
    SELECT tenant_id, message_id, status, %(at)s, greatest(attempts - 1, 0), error_message FROM gone
), deferred AS (
    UPDATE deliveries AS d
    SET status = 'queued', owner = NULL, due_at = t.due_at, error_message = t.error_message
    FROM unnest(%(deferred_ids)s::text[], %(deferred_nos)s::int[], %(due_ats)s::timestamptz[], %(reasons)s::text[])
        AS t (message_id, recipient_no, due_at, error_message)
    WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no])
        AND d.status = 'sending' AND d.owner IS NOT DISTINCT FROM %(owner)s
), logged AS (
    INSERT INTO event_log (events) VALUES (%(events)s)
)
INSERT INTO batch_tallies (batch_id, shard, status, messages, last_at)
SELECT batch_id, %(shard)s, status, count(*), %(at)s FROM gone
WHERE batch_id IS NOT NULL GROUP BY batch_id, status ORDER BY batch_id, status
ON CONFLICT (batch_id, shard, status)
DO UPDATE SET messages = batch_tallies.messages + excluded.messages, last_at = excluded.last_at

-- name: defer
-- moves: sending -> queued (deferred)
-- Due again later; only by the owner of the claim.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, due_at = t.due_at, error_message = t.error_message
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(due_ats)s::timestamptz[], %(errors)s::text[])
    AS t (message_id, recipient_no, due_at, error_message)
WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no]) AND d.status = 'sending' AND d.owner IS NOT DISTINCT FROM %(owner)s

-- name: times_claimed
-- How often deliveries that are not finished have been claimed.
SELECT d.message_id, d.recipient_no, d.attempts
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
WHERE d.status IN ('queued', 'processing', 'rendered', 'sending')

-- name: unclaim
-- moves: processing, sending -> queued (unclaimed)
-- Due now: the answer to the owner's claim was lost, so it sends nothing of this.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, due_at = now()
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    AND d.status IN ('processing', 'sending') AND d.owner IS NOT DISTINCT FROM %(owner)s

-- name: lock_messages
-- Serialises the fold of messages with several recipients.
SELECT FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[]) AS k (tenant_id, id)
JOIN messages m ON m.tenant_id = ANY (ARRAY[k.tenant_id]) AND m.id = ANY (ARRAY[k.id])
ORDER BY m.tenant_id, m.id FOR NO KEY UPDATE OF m

-- name: finish_one_of_many
-- moves: queued, processing, sending -> delivered (accepted)
-- moves: queued, processing, sending -> sent (relayed)
-- moves: queued, processing, sending -> bounced (rejected, expired)
-- moves: queued, processing, sending -> failed (gave_up, expired_untried, set_aside, failed)
-- Ends one of several recipients: the row stays until the whole message is finished.
UPDATE deliveries AS d
SET status = t.status::delivery_status, owner = NULL, lane = NULL, paused_due_at = NULL, due_at = 'infinity',
    error_message = t.error_message
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[], %(statuses)s::text[], %(errors)s::text[])
    AS t (message_id, recipient_no, status, error_message)
WHERE d.message_id = ANY (ARRAY[t.message_id]) AND d.recipient_no = ANY (ARRAY[t.recipient_no])
    AND d.status IN ('queued', 'processing', 'rendered', 'sending')

-- name: fold_finished
-- moves: nothing
-- Ends messages all of whose recipients are finished: their outcome is the fold. Returns the batches' changes.
WITH whole AS (
    SELECT tenant_id, message_id, min(batch_id) AS batch_id, min(status) AS status, max(attempts) AS attempts,
        min(error_message) AS error_message
    FROM deliveries WHERE message_id = ANY (%(message_ids)s::text[])
    GROUP BY tenant_id, message_id HAVING min(status) > 'sending'
), gone AS (
    DELETE FROM deliveries USING whole WHERE deliveries.message_id = ANY (ARRAY[whole.message_id])
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

-- name: cancel_message
-- moves: queued, processing -> cancelled (cancelled)
-- A message with all its deliveries, which the caller has locked.
WITH gone AS (
    DELETE FROM deliveries WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s RETURNING attempts
)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT %(tenant_id)s, %(message_id)s, 'cancelled', %(at)s, greatest(max(attempts) - 1, 0) FROM gone

-- name: status_of
SELECT coalesce(
    (SELECT status FROM outcomes WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s),
    (SELECT min(status) FROM deliveries WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s))::text

-- name: messages
-- One message or a list of them, newest first. {where} is put together in reading.py from fixed conditions. NULL in the
-- place of content and personal that have more than %(whole)s octets together.
SELECT m.id, m.tenant_id, m.request_id, m.batch_id, m.created_at, m.send_at,
    CASE WHEN octet_length(r.content) + octet_length(m.personal) <= %(whole)s THEN r.content END,
    CASE WHEN octet_length(r.content) + octet_length(m.personal) <= %(whole)s THEN m.personal END,
    coalesce(o.status, q.status)::text, coalesce(o.retry_count, greatest(q.attempts - 1, 0)),
    CASE WHEN q.attempts > 0 AND q.status = 'queued' THEN q.due_at END, o.finished_at,
    coalesce(o.error_message, q.error_message)
FROM messages m
JOIN requests r ON r.id = m.request_id
LEFT JOIN outcomes o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
LEFT JOIN LATERAL (
    SELECT min(status) AS status, max(attempts) AS attempts, min(error_message) AS error_message,
        min(due_at) FILTER (WHERE lane IS NULL AND paused_due_at IS NULL AND isfinite(due_at)) AS due_at
    FROM deliveries d WHERE d.message_id = m.id) q ON true
WHERE {where}
ORDER BY m.id DESC LIMIT %(limit)s OFFSET %(offset)s

-- name: texts
SELECT r.content, m.personal FROM messages m JOIN requests r ON r.id = m.request_id
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s

-- name: count_messages
SELECT count(*) FROM (
    SELECT FROM messages m
    JOIN requests r ON r.id = m.request_id
    LEFT JOIN outcomes o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
    LEFT JOIN LATERAL (SELECT min(status) AS status FROM deliveries d WHERE d.message_id = m.id) q ON true
    WHERE {where} LIMIT %(bound)s) AS found

-- name: log_after
-- Up to the row with which they are most_bytes together. What lies outside the table is not fetched to learn its length.
SELECT tx::text::bigint, id, events
FROM (
    SELECT tx, id, events, sum(octet_length(events)) OVER (ORDER BY tx, id ROWS UNBOUNDED PRECEDING)
        - octet_length(events) AS before
    FROM (
        SELECT tx, id, events FROM event_log
        WHERE (tx, id) > (SELECT tx, id FROM log_cursors WHERE consumer = %(consumer)s)
            AND tx < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY tx, id LIMIT %(limit)s
    ) AS next
) AS page
WHERE before < %(most_bytes)s ORDER BY page.tx, page.id

-- name: add_consumer
INSERT INTO log_cursors (consumer) VALUES (%(consumer)s) ON CONFLICT DO NOTHING

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
-- moves: processing, sending -> queued (lease_expired)
-- Due now: their owner is dead.
UPDATE deliveries SET status = 'queued', owner = NULL, due_at = now()
WHERE owner = %(epoch)s AND status IN ('processing', 'sending')

-- name: seen
-- A life goes on, and has made way for a ring.
UPDATE delivery_actors SET seen_at = now(), ring = %(ring)s, sources = %(sources)s WHERE name = %(name)s AND epoch = %(epoch)s

-- name: live_members
SELECT name, ring, draining, sources FROM delivery_actors
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
SELECT name, epoch, sources FROM delivery_actors
WHERE seen_at > now() - make_interval(secs => %(alive_s)s) AND NOT draining ORDER BY name

-- name: lost_actors
SELECT name, epoch FROM delivery_actors WHERE seen_at <= now() - make_interval(secs => %(alive_s)s) ORDER BY name

-- Commands of clients: retry, fail, cancel a batch, pause and resume it.

-- name: lock_message
-- One message, for a decision about it: serialises with the fold and with other commands.
SELECT m.batch_id, r.categories, m.created_at FROM messages m JOIN requests r ON r.id = m.request_id
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s FOR NO KEY UPDATE OF m

-- name: lock_states
-- The deliveries of one message, and whether an SMTP transaction may be under way for them.
SELECT recipient_no, recipient, status::text, status = 'sending' AND due_at > now() FROM deliveries
WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s
ORDER BY recipient_no FOR UPDATE

-- name: requeue
-- moves: processing, sending -> queued (retried)
-- Due now, but not before its send time, with a new lifetime from then. What was sending has its lease over. Returns the
-- deliveries.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, lane = NULL, due_at = greatest(now(), m.send_at),
    expires_at = greatest(now(), m.send_at) + make_interval(secs => %(lifetime_s)s)
FROM messages m
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s
    AND d.message_id = %(message_id)s AND d.tenant_id = %(tenant_id)s AND d.status IN ('processing', 'sending')
RETURNING d.message_id, d.recipient_no

-- name: take_outcome
-- moves: nothing
-- Takes the outcome away before deliver_anew, unless a transaction that was under way when it was failed may still be.
DELETE FROM outcomes
WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s AND status IN ('failed', 'bounced')
    AND (busy_until IS NULL OR busy_until <= now())
RETURNING status::text, recipients::text[]

-- name: deliver_anew
-- moves: failed, bounced -> queued (retried)
-- Due now, but not before its send time; recipients who had the message already stay finished, for the fold. Returns the
-- deliveries that are made.
INSERT INTO deliveries (message_id, recipient_no, tenant_id, batch_id, domain, recipient, status, due_at, expires_at, alone,
    pool)
SELECT m.id, k.number - 1, m.tenant_id, m.batch_id, k.domain, k.recipient, k.status::delivery_status,
    CASE WHEN k.status = 'queued' THEN greatest(now(), m.send_at) ELSE 'infinity' END,
    greatest(now(), m.send_at) + make_interval(secs => %(lifetime_s)s), %(alone)s, r.pool
FROM messages m JOIN requests r ON r.id = m.request_id
CROSS JOIN unnest(%(recipients)s::text[], %(domains)s::text[], %(statuses)s::text[])
    WITH ORDINALITY AS k (recipient, domain, status, number)
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s
RETURNING message_id, recipient_no

-- name: fail_message
-- moves: queued, processing, sending -> failed (failed)
-- The whole message. What recipients already had counts as it ended.
WITH gone AS (
    DELETE FROM deliveries WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s
    RETURNING recipient_no, status, attempts, due_at
)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count, error_message, busy_until, recipients)
SELECT %(tenant_id)s, %(message_id)s, 'failed', %(at)s, greatest(max(attempts) - 1, 0), %(error_message)s,
    max(due_at) FILTER (WHERE status = 'sending'),
    CASE WHEN bool_or(status IN ('delivered', 'sent')) THEN array_agg(status ORDER BY recipient_no) END
FROM gone HAVING count(*) > 0

-- name: messages_of_batch
-- The next messages of a batch, in order of their ids.
SELECT m.id, r.categories FROM messages m JOIN requests r ON r.id = m.request_id
WHERE m.batch_id = %(batch_id)s AND m.id > %(after)s
ORDER BY m.id LIMIT %(limit)s

-- name: lock_idle
-- Those deliveries of messages that are not claimed, and that nobody is at work on just now.
SELECT message_id, recipient_no, recipient, tenant_id, batch_id FROM deliveries
WHERE message_id = ANY (%(message_ids)s::text[]) AND status IN ('queued', 'processing')
FOR UPDATE SKIP LOCKED

-- name: left_of
-- How many deliveries messages have left, and whether one of them is claimed or finished.
SELECT message_id, count(*), bool_or(status NOT IN ('queued', 'processing')) FROM deliveries
WHERE message_id = ANY (%(message_ids)s::text[])
GROUP BY message_id

-- name: cancel_messages
-- moves: queued, processing -> cancelled (cancelled)
-- Whole messages, all of whose deliveries the caller has locked.
WITH gone AS (
    DELETE FROM deliveries WHERE message_id = ANY (%(message_ids)s::text[]) RETURNING tenant_id, message_id, attempts
)
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT tenant_id, message_id, 'cancelled', %(at)s, greatest(max(attempts) - 1, 0) FROM gone
GROUP BY tenant_id, message_id

-- name: cancel_accepted
-- moves: new -> cancelled (cancelled)
-- New messages of a cancelled batch: finished as they are accepted.
INSERT INTO outcomes (tenant_id, message_id, status, finished_at, retry_count)
SELECT %(tenant_id)s, unnest(%(message_ids)s::text[]), 'cancelled', %(at)s, 0

-- name: share_batches
-- Keeps what is scheduled for batches as it is until the transaction ends. Many may share it, and it writes nothing.
SELECT pg_advisory_xact_lock_shared(hashtextextended(id, 0)) FROM unnest(%(batch_ids)s::text[]) AS b (id)

-- name: own_batch
-- Waits until nobody shares the batch (see share_batches), and keeps others waiting until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(batch_id)s::text, 0))

-- name: scheduled_of
SELECT batch_id, status FROM scheduled_sends WHERE batch_id = ANY (%(batch_ids)s::text[]) AND status <> 'resume'

-- name: commanded_of_batch
-- What holds for a message of a batch: 'pause', 'cancel', or nothing. A cancellation of what was in the batch
-- (cancelled_at) holds for the messages that were in it.
SELECT CASE WHEN s.status = 'cancel' OR b.cancelled_at >= %(accepted_at)s THEN 'cancel' ELSE s.status END
FROM batches b LEFT JOIN scheduled_sends s ON s.batch_id = b.id AND s.status <> 'resume'
WHERE b.id = %(batch_id)s

-- name: mark_cancelled
-- Remembers the cancellation of what is in a batch; nothing when the tenant has no such batch.
UPDATE batches SET cancelled_at = clock_timestamp() WHERE id = %(batch_id)s AND tenant_id = %(tenant_id)s

-- name: schedule
-- A pause or cancellation, also again after one that is being forgotten; nothing when there is a different one.
INSERT INTO scheduled_sends (batch_id, tenant_id, status) VALUES (%(batch_id)s, %(tenant_id)s, %(status)s)
ON CONFLICT (batch_id) DO UPDATE SET status = excluded.status, settled = false, changed_at = clock_timestamp()
WHERE scheduled_sends.status IN ('resume', excluded.status)

-- name: reschedule
UPDATE scheduled_sends SET status = %(status)s, settled = false, changed_at = clock_timestamp()
WHERE batch_id = %(batch_id)s AND tenant_id = %(tenant_id)s AND status <> 'resume'

-- name: scheduled_sends
SELECT batch_id, status FROM scheduled_sends
WHERE tenant_id = %(tenant_id)s AND batch_id = coalesce(%(batch_id)s, batch_id) AND status <> 'resume'
ORDER BY batch_id DESC LIMIT %(limit)s

-- name: unsettled
-- What a command has begun and not ended: its process is slow, or dead.
SELECT tenant_id, batch_id FROM scheduled_sends
WHERE NOT settled AND changed_at < now() - make_interval(secs => %(age_s)s)
ORDER BY changed_at LIMIT %(limit)s

-- name: scheduled
SELECT status, changed_at FROM scheduled_sends WHERE batch_id = %(batch_id)s AND NOT settled

-- name: still_scheduled
-- Whether this still holds for the batch; if so, until the transaction ends.
SELECT FROM scheduled_sends WHERE batch_id = %(batch_id)s AND status = %(status)s FOR SHARE

-- name: mark_settled
UPDATE scheduled_sends SET settled = true
WHERE batch_id = %(batch_id)s AND status = %(status)s AND changed_at = %(changed_at)s

-- name: hold
-- moves: queued, processing -> queued (paused)
-- Until the batch goes on, only the end of its lifetime can happen to it.
UPDATE deliveries AS d
SET status = 'queued', owner = NULL, lane = NULL, due_at = d.expires_at,
    paused_due_at = CASE WHEN d.status = 'queued' AND d.lane IS NULL THEN d.due_at ELSE now() END
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    AND d.status IN ('queued', 'processing') AND d.paused_due_at IS NULL

-- name: not_held
-- Messages with deliveries that could be held and are not.
SELECT DISTINCT message_id FROM deliveries
WHERE message_id = ANY (%(message_ids)s::text[]) AND status IN ('queued', 'processing') AND paused_due_at IS NULL

-- name: let_go
-- moves: queued -> queued (resumed)
-- Due when it was before the pause; a page at a time. What was tried before keeps its date. What was not is due at its
-- send time, or now: that it was offered directly is no reason to wait any longer.
WITH next AS (
    SELECT message_id, recipient_no, tenant_id FROM deliveries
    WHERE batch_id = %(batch_id)s AND paused_due_at IS NOT NULL
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE deliveries AS d
SET paused_due_at = NULL, lane = NULL, released_at = CASE WHEN d.attempts = 0 THEN now() ELSE d.released_at END,
    due_at = CASE
        WHEN d.status NOT IN ('queued', 'processing') THEN d.due_at
        WHEN d.attempts = 0 THEN least(d.paused_due_at, coalesce(m.send_at, now()))
        ELSE d.paused_due_at
    END
FROM next JOIN messages m ON m.tenant_id = next.tenant_id AND m.id = next.message_id
WHERE d.message_id = ANY (ARRAY[next.message_id]) AND d.recipient_no = ANY (ARRAY[next.recipient_no])

-- name: anything_held
SELECT FROM deliveries WHERE batch_id = %(batch_id)s AND paused_due_at IS NOT NULL LIMIT 1

-- name: forget_schedule
-- The end of a resume, once nothing is held any more.
DELETE FROM scheduled_sends s
WHERE s.batch_id = %(batch_id)s AND s.status = 'resume'
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.batch_id = s.batch_id AND d.paused_due_at IS NOT NULL)

-- name: backlog
-- Deliveries in the queue, as Postgres counts what is inserted and deleted: read in constant time, seconds old at most.
SELECT pg_stat_get_live_tuples('deliveries'::regclass)

-- name: count_backlog
-- Sets the count anew, from a sample of bounded size: a crash of Postgres forgets it.
ANALYZE deliveries

-- What operators do: policies, suspensions, actions, ending what is queued, and all about one message (operations.py).

-- name: policies
SELECT version, shaping, routing FROM policies ORDER BY version DESC LIMIT 1

-- name: policies_version
SELECT coalesce(max(version), 0) FROM policies

-- name: add_policies
INSERT INTO policies (shaping, routing) VALUES (%(shaping)s, %(routing)s) RETURNING version

-- name: suspend
-- A new suspension, or new words for an old one; automation does not change what an operator has said.
INSERT INTO suspensions (site, tenant_id, until, reason, made_by)
VALUES (%(site)s, %(tenant_id)s, %(until)s, %(reason)s, %(made_by)s)
ON CONFLICT (site, tenant_id) DO UPDATE
SET until = excluded.until, reason = excluded.reason, made_by = excluded.made_by, created_at = now()
WHERE excluded.made_by = 'operator' OR suspensions.made_by = 'automation' OR suspensions.until <= now()

-- name: resume
DELETE FROM suspensions WHERE site = coalesce(%(site)s, site) AND tenant_id = coalesce(%(tenant_id)s, tenant_id)
RETURNING site, tenant_id, until, reason, made_by, created_at

-- name: suspensions
SELECT site, tenant_id, until, reason, made_by, created_at FROM suspensions
WHERE until > now() ORDER BY site, tenant_id

-- name: record_site_actions
INSERT INTO site_actions (at, source, site, tenant_id, action, detail, reply, made_by)
SELECT * FROM unnest(%(ats)s::timestamptz[], %(sources)s::text[], %(sites)s::text[], %(tenant_ids)s::text[],
    %(actions)s::text[], %(details)s::text[], %(replies)s::text[], %(makers)s::text[])

-- name: trim_site_actions
-- The oldest, when they are too old: more than what was just recorded, so that they go in the end.
DELETE FROM site_actions
WHERE at < %(before)s AND id IN (SELECT id FROM site_actions ORDER BY id LIMIT %(limit)s)

-- name: site_actions
SELECT at, source, site, tenant_id, action, detail, reply, made_by FROM site_actions ORDER BY id DESC LIMIT %(limit)s

-- name: actions_of_site
SELECT at, source, site, tenant_id, action, detail, reply, made_by FROM site_actions
WHERE site = %(site)s ORDER BY id DESC LIMIT %(limit)s

-- name: lane_names
-- The first lanes that hold something: one probe of the index for each.
WITH RECURSIVE held AS (
    (SELECT lane FROM deliveries WHERE lane IS NOT NULL ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT further.lane
    FROM held, LATERAL (
        SELECT lane FROM deliveries WHERE lane IS NOT NULL AND lane > held.lane ORDER BY lane LIMIT 1) AS further
)
SELECT lane FROM held LIMIT %(limit)s

-- name: parked
-- Deliveries in lanes, counted up to a bound.
SELECT l.lane, (SELECT count(*) FROM (SELECT FROM deliveries d WHERE d.lane = l.lane LIMIT %(bound)s) AS counted)
FROM unnest(%(lanes)s::text[]) AS l (lane)

-- name: queue_mark
-- The last delivery of the next part of the queue; none when less is left.
SELECT message_id, recipient_no FROM deliveries
WHERE (message_id, recipient_no) > (%(message_id)s::text, %(recipient_no)s::int)
ORDER BY message_id, recipient_no OFFSET %(skip)s LIMIT 1

-- name: queue_part
-- Unfinished deliveries of a part of the queue, by what an operator asks for.
SELECT message_id, recipient_no, recipient, tenant_id, batch_id, domain, alone, status::text FROM deliveries
WHERE (message_id, recipient_no) > (%(message_id)s::text, %(recipient_no)s::int)
    AND (message_id, recipient_no) <= (%(last_id)s::text, %(last_no)s::int)
    AND status IN ('queued', 'processing', 'rendered', 'sending')
    AND domain = coalesce(%(domain)s, domain)
    AND tenant_id = coalesce(%(tenant_id)s, tenant_id)
    AND (pool = coalesce(%(pool)s, pool) OR (pool = '' AND %(pool)s = 'default'))
    AND (%(batch_id)s::text IS NULL OR batch_id = %(batch_id)s)
ORDER BY message_id, recipient_no

-- name: queued_domains
-- Domains of the oldest and of the newest of the queue: an index on domains would cost each message some.
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
SELECT id, name FROM tenants
ORDER BY id = %(text)s OR name = %(text)s DESC, starts_with(id, %(text)s) OR starts_with(name, %(text)s) DESC, id
LIMIT %(limit)s

-- name: lock_unclaimed
-- Those of these deliveries that are not claimed, and that nobody is at work on just now.
SELECT d.message_id, d.recipient_no, d.tenant_id, d.recipient, d.batch_id, d.alone, d.status::text, r.categories
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
JOIN messages m ON m.tenant_id = ANY (ARRAY[d.tenant_id]) AND m.id = ANY (ARRAY[d.message_id])
JOIN requests r ON r.id = m.request_id
WHERE d.status IN ('queued', 'processing')
FOR UPDATE OF d SKIP LOCKED

-- name: waits
-- What deliveries wait for (moving.py); those that are finished are left out.
SELECT d.message_id, d.recipient_no, CASE
    WHEN d.status IN ('rendered', 'sending') THEN 'sending'
    WHEN d.paused_due_at IS NOT NULL
        OR EXISTS (SELECT FROM scheduled_sends s WHERE s.batch_id = d.batch_id AND s.status = 'pause') THEN 'paused'
    WHEN m.send_at > now() THEN 'scheduled'
    WHEN d.status = 'queued' AND d.lane IS NULL AND d.attempts > 0 AND d.due_at > now() THEN 'deferred'
    ELSE 'turn' END
FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
JOIN messages m ON m.tenant_id = ANY (ARRAY[d.tenant_id]) AND m.id = ANY (ARRAY[d.message_id])
WHERE d.status IN ('queued', 'processing', 'rendered', 'sending')

-- name: make_due
-- What is deferred is due now; its status stays.
WITH mine AS (
    SELECT d.message_id, d.recipient_no
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    JOIN messages m ON m.tenant_id = ANY (ARRAY[d.tenant_id]) AND m.id = ANY (ARRAY[d.message_id])
    WHERE d.status = 'queued' AND d.lane IS NULL AND d.attempts > 0 AND d.due_at > now()
        AND (m.send_at IS NULL OR m.send_at <= now())
        AND d.paused_due_at IS NULL
        AND NOT EXISTS (SELECT FROM scheduled_sends s WHERE s.batch_id = d.batch_id AND s.status = 'pause')
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d SET due_at = now()
FROM mine WHERE d.message_id = ANY (ARRAY[mine.message_id]) AND d.recipient_no = ANY (ARRAY[mine.recipient_no])

-- name: reroute
-- moves: queued, processing -> queued (rerouted)
-- What was leased, parked or offered directly is due in a moment, when the actor that holds it has been told; what waits
-- for a later attempt, its send time or its batch goes on waiting.
WITH mine AS (
    SELECT d.message_id, d.recipient_no, m.send_at
    FROM unnest(%(message_ids)s::text[], %(recipient_nos)s::int[]) AS k (message_id, recipient_no)
    JOIN deliveries d ON d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
    JOIN messages m ON m.tenant_id = ANY (ARRAY[d.tenant_id]) AND m.id = ANY (ARRAY[d.message_id])
    WHERE d.status IN ('queued', 'processing')
        AND (d.pool <> coalesce(%(pool)s, d.pool) OR d.route <> coalesce(%(route)s, d.route))
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d
SET pool = coalesce(%(pool)s, d.pool), route = coalesce(%(route)s, d.route), status = 'queued', owner = NULL, lane = NULL,
    due_at = CASE
        WHEN d.paused_due_at IS NOT NULL THEN d.due_at
        WHEN d.owner IS NOT NULL OR d.lane IS NOT NULL THEN now() + make_interval(secs => %(soon_s)s)
        WHEN d.attempts = 0 THEN greatest(mine.send_at, now() + make_interval(secs => %(soon_s)s))
        ELSE d.due_at END
FROM mine WHERE d.message_id = ANY (ARRAY[mine.message_id]) AND d.recipient_no = ANY (ARRAY[mine.recipient_no])
RETURNING d.message_id, d.recipient_no, d.tenant_id, d.domain, d.pool, d.route

-- name: fate
-- A message of whatever tenant and how it ended: an id alone has no index, so one probe for each tenant.
SELECT t.id, m.batch_id, m.created_at, m.send_at, m.personal, o.status::text, o.finished_at, o.error_message,
    EXISTS (SELECT FROM scheduled_sends s WHERE s.batch_id = m.batch_id AND s.status = 'pause')
FROM tenants t
CROSS JOIN LATERAL (SELECT * FROM messages WHERE tenant_id = t.id AND id = %(message_id)s LIMIT 1) AS m
LEFT JOIN outcomes o ON o.tenant_id = t.id AND o.message_id = m.id

-- name: standings
-- The deliveries of an unfinished message, and who holds them.
SELECT d.recipient_no, d.recipient, d.domain, d.pool, d.status::text, d.attempts,
    CASE WHEN isfinite(d.due_at) THEN d.due_at END, d.expires_at, d.lane,
    d.paused_due_at IS NOT NULL, d.owner IS NOT NULL, a.name, d.error_message,
    (SELECT count(DISTINCT life) FROM strikes s WHERE s.message_id = d.message_id), d.route, r.pool
FROM deliveries d JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
JOIN requests r ON r.id = m.request_id
LEFT JOIN delivery_actors a ON a.epoch = d.owner
WHERE d.message_id = %(message_id)s ORDER BY d.recipient_no

-- Strikes: lives of delivery actors that ended over a message (strikes.py).

-- name: strike
-- One for a message that is not finished; the same life strikes it once, however often this is said.
INSERT INTO strikes (request_id, life, message_id, shared, actor)
SELECT m.request_id, %(life)s, m.id, %(shared)s, %(actor)s
FROM messages m
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s
    AND EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id
        AND d.status IN ('queued', 'processing', 'rendered', 'sending'))
ON CONFLICT DO NOTHING

-- name: strikes_of_request
-- All strikes of the request that a message is of.
SELECT s.life, s.message_id, s.shared
FROM messages m JOIN strikes s ON s.request_id = m.request_id
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s

-- name: unfinished_of_request
-- The messages of a message's request that are not finished. A request's ids are made in one moment (ids.py), so they
-- lie in the narrow range from first to last.
SELECT m.id FROM messages n JOIN messages m ON m.tenant_id = n.tenant_id AND m.request_id = n.request_id
    AND m.id >= %(first)s AND m.id <= %(last)s
WHERE n.tenant_id = %(tenant_id)s AND n.id = %(message_id)s
    AND EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id
        AND d.status IN ('queued', 'processing', 'rendered', 'sending'))
ORDER BY m.id

-- name: lock_set_aside
-- The deliveries of a message that nobody alive can be sending: not claimed, claimed by the life that ended, or their
-- lease is over.
SELECT recipient_no, recipient, batch_id, alone, status::text FROM deliveries
WHERE message_id = %(message_id)s AND tenant_id = %(tenant_id)s
    AND (status IN ('queued', 'processing') OR (status = 'sending' AND (owner = %(life)s OR due_at <= now())))
ORDER BY recipient_no FOR UPDATE

-- name: clear_strikes
-- Those of the request that a message is of: it is to be tried as if it were new.
DELETE FROM strikes WHERE request_id = (
    SELECT request_id FROM messages WHERE tenant_id = %(tenant_id)s AND id = %(message_id)s)

-- name: trim_strikes
-- The oldest, more of them than are made.
DELETE FROM strikes WHERE (request_id, life, message_id) IN (
    SELECT request_id, life, message_id FROM strikes WHERE at < %(before)s ORDER BY at LIMIT %(limit)s)

-- The counts for TLS reports

-- name: add_tls_results
-- In the order of the key, so that two actors which add to the same rows wait for each other and no more.
INSERT INTO tls_results AS t
    (day, domain, policy_type, policy, result_type, mx_host, sending_ip, receiving_ip, sessions)
SELECT * FROM unnest(
    %(days)s::date[], %(domains)s::text[], %(policy_types)s::text[], %(policies)s::text[], %(result_types)s::text[],
    %(mx_hosts)s::text[], %(sending_ips)s::text[], %(receiving_ips)s::text[], %(sessions)s::bigint[]
)
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
ON CONFLICT (day, domain, policy_type, hashtextextended(policy, 0), result_type, mx_host, sending_ip, receiving_ip)
DO UPDATE SET sessions = t.sessions + excluded.sessions

-- name: tls_results
SELECT policy_type, policy, result_type, mx_host, sending_ip, receiving_ip, sessions FROM tls_results
WHERE day = %(day)s AND domain = %(domain)s
ORDER BY policy_type, policy, result_type, mx_host, sending_ip, receiving_ip

-- name: forget_tls_results
DELETE FROM tls_results WHERE day < %(before)s

-- Sources in warm-up (warm_up.py).

-- name: take_warm_up
-- One row, one statement: whoever comes second waits for the first and sees what it took. The portion is a column
-- because RETURNING knows only the row as it is afterwards. A cap that was lowered takes nothing back.
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

-- name: trim_warm_ups
DELETE FROM warm_up_days AS w
USING (SELECT day, source, site FROM warm_up_days WHERE day < %(before)s ORDER BY day LIMIT %(limit)s) AS old
WHERE w.day = old.day AND w.source = old.source AND w.site = old.site
