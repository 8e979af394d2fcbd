-- Templates and their versions. A change of versions holds the lock of their template, so that counts and the one active
-- version hold.

-- name: count_templates
SELECT count(*) FROM templates
WHERE tenant_id = %(tenant_id)s AND generation = ANY (%(generations)s::text[])

-- name: create_template
INSERT INTO templates (id, tenant_id, name, generation)
VALUES (%(id)s, %(tenant_id)s, %(name)s, %(generation)s)
RETURNING id, name, generation, created_at, updated_at

-- name: template
SELECT id, name, generation, created_at, updated_at FROM templates
WHERE id = %(id)s AND tenant_id = %(tenant_id)s

-- name: lock_template
SELECT id, name, generation, created_at, updated_at FROM templates
WHERE id = %(id)s AND tenant_id = %(tenant_id)s FOR NO KEY UPDATE

-- name: templates_after
-- With the number of versions of each.
SELECT id, name, generation, created_at, updated_at,
    (SELECT count(*) FROM template_versions v WHERE v.template_id = templates.id)
FROM templates
WHERE tenant_id = %(tenant_id)s AND generation = ANY (%(generations)s::text[]) AND id > %(id)s
ORDER BY id LIMIT %(limit)s

-- name: templates_before
-- The nearest first.
SELECT id, name, generation, created_at, updated_at,
    (SELECT count(*) FROM template_versions v WHERE v.template_id = templates.id)
FROM templates
WHERE tenant_id = %(tenant_id)s AND generation = ANY (%(generations)s::text[]) AND id < %(id)s
ORDER BY id DESC LIMIT %(limit)s

-- name: rename_template
UPDATE templates SET name = %(name)s, updated_at = clock_timestamp()
WHERE id = %(id)s AND tenant_id = %(tenant_id)s
RETURNING id, name, generation, created_at, updated_at

-- name: touch_template
UPDATE templates SET updated_at = clock_timestamp() WHERE id = %(id)s

-- name: delete_template
-- With its versions. Their texts stay: messages may be rendered from them.
DELETE FROM templates WHERE id = %(id)s AND tenant_id = %(tenant_id)s

-- name: active_version
-- What a send needs. No row: the tenant has no such template; NULLs: none of its versions is active.
SELECT t.generation, v.id, v.texts, v.subject
FROM templates t LEFT JOIN template_versions v ON v.template_id = t.id AND v.is_active
WHERE t.id = %(id)s AND t.tenant_id = %(tenant_id)s

-- name: template_texts
SELECT texts FROM template_texts WHERE tenant_id = %(tenant_id)s AND sha256 = %(sha256)s

-- name: use_template_texts
-- A message that was accepted before is sent again: a new one names these texts from now on. No row: they are gone.
UPDATE template_texts SET unused_since = CASE WHEN unused_since IS NOT NULL THEN now() END
WHERE tenant_id = %(tenant_id)s AND sha256 = %(sha256)s

-- name: store_template_texts
-- Texts that are there are locked, so that they are not removed meanwhile as unused (remove_unused_texts).
INSERT INTO template_texts AS t (tenant_id, sha256, texts) VALUES (%(tenant_id)s, %(sha256)s, %(texts)s)
ON CONFLICT (tenant_id, sha256) DO UPDATE SET unused_since = now() WHERE t.unused_since < now() - interval '1 hour'

-- name: count_versions
SELECT count(*) FROM template_versions WHERE template_id = %(template_id)s

-- name: create_version
INSERT INTO template_versions
    (id, template_id, tenant_id, name, subject, editor, generate_plain_content, test_data, texts, is_active)
VALUES (%(id)s, %(template_id)s, %(tenant_id)s, %(name)s, %(subject)s, %(editor)s, %(generate_plain_content)s,
    %(test_data)s, %(texts)s, %(is_active)s)
RETURNING id, template_id, name, subject, editor, generate_plain_content, is_active, created_at, updated_at

-- name: copy_versions
-- Copies versions, each to a new id, to a template of the same tenant.
INSERT INTO template_versions
    (id, template_id, tenant_id, name, subject, editor, generate_plain_content, test_data, texts, is_active)
SELECT c.new, %(template_id)s, v.tenant_id, coalesce(%(name)s, v.name), v.subject, v.editor, v.generate_plain_content,
    v.test_data, v.texts, v.is_active AND %(keeps_active)s
FROM unnest(%(ids)s::text[], %(new_ids)s::text[]) AS c (old, new)
JOIN template_versions v ON v.id = c.old
RETURNING id, template_id, name, subject, editor, generate_plain_content, is_active, created_at, updated_at

-- name: versions
-- The versions of several templates, without their texts.
SELECT id, template_id, name, subject, editor, generate_plain_content, is_active, created_at, updated_at
FROM template_versions WHERE template_id = ANY (%(template_ids)s::text[])
ORDER BY template_id, id

-- name: version
-- No id means the active one.
SELECT v.id, v.template_id, v.name, v.subject, v.editor, v.generate_plain_content, v.is_active, v.created_at,
    v.updated_at, v.test_data, t.texts
FROM template_versions v JOIN template_texts t ON t.tenant_id = v.tenant_id AND t.sha256 = v.texts
WHERE v.template_id = %(template_id)s AND v.tenant_id = %(tenant_id)s
    AND (v.id = %(id)s OR (%(id)s::text IS NULL AND v.is_active))

-- name: has_version
-- Where a time is given: as it was changed last at that time.
SELECT FROM template_versions
WHERE id = %(id)s AND template_id = %(template_id)s AND updated_at = coalesce(%(seen)s, updated_at)

-- name: change_version
UPDATE template_versions SET name = %(name)s, subject = %(subject)s, editor = %(editor)s,
    generate_plain_content = %(generate_plain_content)s, test_data = %(test_data)s, texts = %(texts)s,
    is_active = coalesce(%(is_active)s, is_active), updated_at = clock_timestamp()
WHERE id = %(id)s AND template_id = %(template_id)s
RETURNING id, template_id, name, subject, editor, generate_plain_content, is_active, created_at, updated_at

-- name: deactivate_versions
-- All versions of a template but one. An index allows no two active ones, so this comes before an activation.
UPDATE template_versions SET is_active = false
WHERE template_id = %(template_id)s AND is_active AND id <> %(but)s

-- name: set_active
UPDATE template_versions SET is_active = %(is_active)s, updated_at = clock_timestamp()
WHERE id = %(id)s AND template_id = %(template_id)s
RETURNING id, template_id, name, subject, editor, generate_plain_content, is_active, created_at, updated_at

-- name: delete_version
DELETE FROM template_versions WHERE id = %(id)s AND template_id = %(template_id)s RETURNING is_active
