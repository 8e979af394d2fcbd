-- The image library.

-- name: image_usage
SELECT count(*), coalesce(sum(size), 0)::bigint FROM images WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL

-- name: keep_image_file
INSERT INTO image_files (tenant_id, sha256, content) VALUES (%(tenant_id)s, %(sha256)s, %(content)s)
ON CONFLICT DO NOTHING

-- name: create_image
INSERT INTO images (id, tenant_id, filename, original_filename, content_type, size, width, height, alt_text, folder,
    file, thumbnail, thumbnail_type)
VALUES (%(id)s, %(tenant_id)s, %(filename)s, %(original_filename)s, %(content_type)s, %(size)s, %(width)s, %(height)s,
    %(alt_text)s, %(folder)s, %(file)s, %(thumbnail)s, %(thumbnail_type)s)
RETURNING id, tenant_id, filename, original_filename, content_type, size, width, height, alt_text, folder, views,
    created_at, updated_at

-- name: images
SELECT id, tenant_id, filename, original_filename, content_type, size, width, height, alt_text, folder, views,
    created_at, updated_at
FROM images
WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL
    AND (%(folder)s::text IS NULL OR folder = %(folder)s)
    AND (%(search)s::text IS NULL OR strpos(lower(filename), lower(%(search)s)) > 0
        OR strpos(lower(alt_text), lower(%(search)s)) > 0)
ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s

-- name: count_images
SELECT count(*) FROM images
WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL
    AND (%(folder)s::text IS NULL OR folder = %(folder)s)
    AND (%(search)s::text IS NULL OR strpos(lower(filename), lower(%(search)s)) > 0
        OR strpos(lower(alt_text), lower(%(search)s)) > 0)

-- name: image_folders
SELECT DISTINCT folder FROM images
WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL AND folder <> '' ORDER BY folder

-- name: image
SELECT id, tenant_id, filename, original_filename, content_type, size, width, height, alt_text, folder, views,
    created_at, updated_at
FROM images WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND deleted_at IS NULL

-- name: change_image
UPDATE images
SET alt_text = coalesce(%(alt_text)s, alt_text), folder = coalesce(%(folder)s, folder), updated_at = now()
WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND deleted_at IS NULL
RETURNING id, tenant_id, filename, original_filename, content_type, size, width, height, alt_text, folder, views,
    created_at, updated_at

-- name: delete_image
-- The row stays, so that /i/{id} answers 410.
UPDATE images SET deleted_at = now() WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND deleted_at IS NULL
RETURNING file, thumbnail

-- name: drop_image_files
-- Those that no image has any more.
DELETE FROM image_files f WHERE f.tenant_id = %(tenant_id)s AND f.sha256 = ANY (%(files)s::bytea[])
    AND NOT EXISTS (SELECT FROM images i WHERE i.tenant_id = f.tenant_id AND i.file = f.sha256
        AND i.deleted_at IS NULL)
    AND NOT EXISTS (SELECT FROM images i WHERE i.tenant_id = f.tenant_id AND i.thumbnail = f.sha256
        AND i.deleted_at IS NULL)

-- name: public_image
SELECT i.tenant_id, i.content_type, i.file, i.thumbnail_type, i.thumbnail,
    i.deleted_at IS NOT NULL OR t.deleted_at IS NOT NULL
FROM images i JOIN tenants t ON t.id = i.tenant_id WHERE i.id = %(id)s

-- name: image_content
SELECT content FROM image_files WHERE tenant_id = %(tenant_id)s AND sha256 = %(sha256)s

-- name: images_to_embed
SELECT id, filename, content_type, file, size, thumbnail_type, thumbnail,
    (SELECT octet_length(content) FROM image_files f WHERE f.tenant_id = images.tenant_id AND f.sha256 = thumbnail)
FROM images
WHERE id = ANY (%(ids)s::text[]) AND tenant_id = %(tenant_id)s AND deleted_at IS NULL

-- name: image_contents
SELECT sha256, content FROM image_files WHERE tenant_id = %(tenant_id)s AND sha256 = ANY (%(files)s::bytea[])

-- name: count_views
UPDATE images SET views = images.views + u.views
FROM unnest(%(ids)s::text[], %(views)s::bigint[]) AS u (id, views)
WHERE images.id = u.id
