-- Branded links.

-- name: no_default_link
UPDATE branded_links SET is_default = false WHERE tenant_id = %(tenant_id)s AND is_default

-- name: create_link
INSERT INTO branded_links (tenant_id, domain, subdomain, is_default)
SELECT %(tenant_id)s, %(domain)s, %(subdomain)s, %(is_default)s
WHERE (SELECT count(*) FROM branded_links WHERE tenant_id = %(tenant_id)s) < %(most)s
RETURNING id, tenant_id, domain, subdomain, is_default, verified_at IS NOT NULL, checked_at, findings

-- name: is_return_path
SELECT FROM sender_domains WHERE domain = %(domain)s AND subdomain = %(subdomain)s LIMIT 1

-- name: links
SELECT id, tenant_id, domain, subdomain, is_default, verified_at IS NOT NULL, checked_at, findings
FROM branded_links WHERE tenant_id = %(tenant_id)s ORDER BY id LIMIT %(limit)s

-- name: link
SELECT id, tenant_id, domain, subdomain, is_default, verified_at IS NOT NULL, checked_at, findings
FROM branded_links WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: default_link
SELECT id, tenant_id, domain, subdomain, is_default, verified_at IS NOT NULL, checked_at, findings
FROM branded_links
WHERE tenant_id = %(tenant_id)s AND (is_default OR domain = %(domain)s)
ORDER BY domain = %(domain)s DESC NULLS LAST, is_default DESC, id LIMIT 1

-- name: link_in_use
-- A host that is not validated is not used.
SELECT subdomain || '.' || domain FROM branded_links
WHERE tenant_id = %(tenant_id)s AND verified_at IS NOT NULL ORDER BY is_default DESC, id LIMIT 1

-- name: link_hosts
SELECT subdomain || '.' || domain FROM branded_links WHERE tenant_id = %(tenant_id)s AND verified_at IS NOT NULL

-- name: set_default_link
UPDATE branded_links SET is_default = %(is_default)s WHERE tenant_id = %(tenant_id)s AND id = %(id)s
RETURNING id, tenant_id, domain, subdomain, is_default, verified_at IS NOT NULL, checked_at, findings

-- name: link_checked
UPDATE branded_links
SET checked_at = now(), findings = %(findings)s,
    verified_at = CASE
        WHEN %(is_valid)s::bool IS NULL THEN verified_at
        WHEN %(is_valid)s THEN coalesce(verified_at, now())
    END
WHERE tenant_id = %(tenant_id)s AND id = %(id)s
RETURNING id, tenant_id, domain, subdomain, is_default, verified_at IS NOT NULL, checked_at, findings

-- name: delete_link
DELETE FROM branded_links WHERE tenant_id = %(tenant_id)s AND id = %(id)s
