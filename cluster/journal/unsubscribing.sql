-- What recipients do on unsubscribe pages.

-- name: unsubscribe_page
-- The tenant of a token by its number, and the groups that the page shows: those named, or all, and always the token's.
SELECT t.name, t.settings::text,
    EXISTS (SELECT FROM suppressions s
        WHERE s.tenant_id = t.id AND s.address = ANY (ARRAY[%(address)s, erased_form(t.id, %(address)s)])
            AND s.list = 'unsubscribes' AND s.group_id = 0),
    coalesce((
        SELECT array_agg(ARRAY[g.id::text, g.name, g.description, CASE WHEN EXISTS (
            SELECT FROM suppressions s
            WHERE s.tenant_id = t.id AND s.address = ANY (ARRAY[%(address)s, erased_form(t.id, %(address)s)])
                AND s.list = 'group' AND s.group_id = g.id) THEN '1' ELSE '' END] ORDER BY g.id)
        FROM (SELECT id, name, description FROM suppression_groups
              WHERE tenant_id = t.id
                  AND (%(shown)s::int[] = '{}' OR id = ANY (%(shown)s::int[]) OR id = %(group_id)s::int)
              ORDER BY id IS NOT DISTINCT FROM %(group_id)s::int DESC, id LIMIT %(limit)s) AS g), '{}')
FROM tenants t WHERE t.number = %(number)s AND t.deleted_at IS NULL

-- name: unsubscribed_message
-- The tenant, and what events say of the message; both are missing when it is gone.
SELECT t.id, m.batch_id, r.categories
FROM tenants t
LEFT JOIN messages m ON m.tenant_id = t.id AND m.id = %(message_id)s
LEFT JOIN requests r ON r.id = m.request_id
WHERE t.number = %(number)s AND t.deleted_at IS NULL
