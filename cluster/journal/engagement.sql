-- What recipients do with messages.

-- name: engaged
-- What the events of these messages need, in the order of the arguments. Deleted tenants and erased messages are left
-- out. The columns of a message that is gone are NULL. A message with several recipients does not tell when each was
-- delivered.
SELECT k.no, t.id, m.batch_id, r.categories,
    CASE WHEN cardinality(m.to_emails) = 1 AND o.status IN ('delivered', 'sent')
        THEN extract(epoch FROM o.finished_at)::float8 END,
    EXISTS (SELECT FROM deliveries d
        WHERE d.message_id = ANY (ARRAY[k.message_id]) AND d.recipient_no = ANY (ARRAY[k.recipient_no])
            AND d.status IN ('queued', 'processing', 'rendered', 'sending'))
FROM unnest(%(tenant_numbers)s::bigint[], %(message_ids)s::text[], %(recipient_nos)s::int[])
    WITH ORDINALITY AS k (tenant_number, message_id, recipient_no, no)
JOIN tenants t ON t.number = ANY (ARRAY[k.tenant_number]) AND t.deleted_at IS NULL
LEFT JOIN messages m ON m.tenant_id = ANY (ARRAY[t.id]) AND m.id = ANY (ARRAY[k.message_id])
    AND m.id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
LEFT JOIN requests r ON r.id = ANY (ARRAY[m.request_id])
    AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text
LEFT JOIN outcomes o ON o.tenant_id = ANY (ARRAY[m.tenant_id]) AND o.message_id = ANY (ARRAY[m.id])
    AND o.message_id BETWEEN 'msg_' || %(since)s::text AND 'msg_' || %(upto)s::text
WHERE NOT EXISTS (SELECT FROM erased_messages e WHERE e.message_id = ANY (ARRAY[k.message_id]))
ORDER BY k.no

-- name: open_images
-- Notes who has seen which image; returns those that were not noted yet.
INSERT INTO image_opens (tenant_id, message_id, recipient_no, image)
SELECT DISTINCT tenant_id, message_id, recipient_no, image
FROM unnest(%(tenant_ids)s::text[], %(message_ids)s::text[], %(recipient_nos)s::int[], %(images)s::text[])
    AS i (tenant_id, message_id, recipient_no, image)
ORDER BY tenant_id, message_id, recipient_no, image
ON CONFLICT DO NOTHING
RETURNING message_id, recipient_no, image
