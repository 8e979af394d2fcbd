-- Unsubscribe groups. Changes of a tenant's groups follow each other (lock_tenant in tenants.sql).

-- name: count_groups
SELECT count(*) FROM suppression_groups WHERE tenant_id = %(tenant_id)s

-- name: no_other_default_group
UPDATE suppression_groups SET is_default = false
WHERE tenant_id = %(tenant_id)s AND is_default AND id <> %(id)s

-- name: create_group
INSERT INTO suppression_groups (tenant_id, name, description, is_default)
VALUES (%(tenant_id)s, %(name)s, %(description)s, %(is_default)s)
RETURNING id, name, description, is_default, 0

-- name: groups
-- With the number of addresses that unsubscribed from each.
SELECT id, name, description, is_default,
    (SELECT count(*) FROM suppressions s WHERE s.tenant_id = g.tenant_id AND s.list = 'group' AND s.group_id = g.id)
FROM suppression_groups g
WHERE tenant_id = %(tenant_id)s AND (%(ids)s::int[] IS NULL OR id = ANY (%(ids)s::int[]))
ORDER BY id

-- name: change_group
UPDATE suppression_groups
SET name = coalesce(%(name)s, name), description = coalesce(%(description)s, description),
    is_default = coalesce(%(is_default)s, is_default)
WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: delete_group
DELETE FROM suppression_groups WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: lock_group
-- The group, so that it is not deleted meanwhile.
SELECT id FROM suppression_groups WHERE tenant_id = %(tenant_id)s AND id = %(group_id)s FOR KEY SHARE

-- name: group_suppressions
-- A page of the entries of all groups, the newest first; after an entry (its time, address and group), or from an
-- offset. Of each group no more are read than the page can have: the index has them in order.
SELECT s.email, g.id, g.name, s.created_at, s.address
FROM suppression_groups g
CROSS JOIN LATERAL (
    SELECT email, created_at, address FROM suppressions
    WHERE tenant_id = g.tenant_id AND list = 'group' AND group_id = g.id AND email <> ''
        AND (created_at, address) <= (%(after_at)s, %(after_address)s)
        AND (created_at, address, group_id) < (%(after_at)s, %(after_address)s, %(after_group_id)s::int)
    ORDER BY created_at DESC, address DESC
    LIMIT %(most)s) AS s
WHERE g.tenant_id = %(tenant_id)s
ORDER BY s.created_at DESC, s.address DESC, g.id DESC LIMIT %(limit)s OFFSET %(offset)s

-- name: groups_of_address
SELECT g.id, g.name, g.description, g.is_default, EXISTS (SELECT FROM suppressions s
    WHERE s.tenant_id = g.tenant_id AND s.address = ANY (ARRAY[%(address)s, erased_form(g.tenant_id, %(address)s)])
        AND s.list = 'group' AND s.group_id = g.id)
FROM suppression_groups g WHERE g.tenant_id = %(tenant_id)s ORDER BY g.id
