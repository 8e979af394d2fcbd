-- The actions of automation and operators on sites.

-- name: record_site_actions
INSERT INTO site_actions (at, source, site, tenant_id, action, detail, reply, made_by)
SELECT * FROM unnest(%(ats)s::timestamptz[], %(sources)s::text[], %(sites)s::text[], %(tenant_ids)s::text[],
    %(actions)s::text[], %(details)s::text[], %(replies)s::text[], %(makers)s::text[])

-- name: site_actions
SELECT at, source, site, tenant_id, action, detail, reply, made_by FROM site_actions ORDER BY id DESC LIMIT %(limit)s

-- name: actions_of_site
SELECT at, source, site, tenant_id, action, detail, reply, made_by FROM site_actions
WHERE site = %(site)s ORDER BY id DESC LIMIT %(limit)s
