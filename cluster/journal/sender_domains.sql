-- Sender domains and their signing keys.

-- name: count_domains
SELECT count(*) FROM sender_domains WHERE tenant_id = %(tenant_id)s

-- name: domain_holders
-- Who holds a domain, and whether the tenant has verified a domain above it. parents: the domains above.
SELECT s.id, s.tenant_id, s.verified_at, s.created_at, EXISTS (
    SELECT FROM sender_domains p
    WHERE p.tenant_id = %(tenant_id)s AND p.domain = ANY (%(parents)s) AND p.verified_at IS NOT NULL)
FROM sender_domains s WHERE s.domain = %(domain)s FOR UPDATE OF s

-- name: create_domain
INSERT INTO sender_domains (
    tenant_id, domain, subdomain, include_subdomains, is_default, uses_cnames, created_at, verified_at, look_at)
VALUES (
    %(tenant_id)s, %(domain)s, %(subdomain)s, %(include_subdomains)s, %(is_default)s, %(uses_cnames)s, %(now)s,
    CASE WHEN %(is_verified)s THEN %(now)s::timestamptz END, %(look_at)s)
ON CONFLICT DO NOTHING
RETURNING id

-- name: create_dkim_key
INSERT INTO dkim_keys (
    domain_id, algorithm, selector, public_key, sealed_private_key, state, created_at, activated_at)
VALUES (
    %(domain_id)s, %(algorithm)s, %(selector)s, %(public_key)s, %(sealed_private_key)s, %(state)s, %(now)s,
    CASE WHEN %(state)s = 'active' THEN %(now)s::timestamptz END)

-- name: list_domains
-- tenant_id: NULL lists those of all tenants. part: of the name. after: the id of the last one of the page before.
SELECT id, tenant_id, domain, subdomain, include_subdomains, is_default, uses_cnames, created_at, verified_at,
    checked_at, wrong_since, findings::text
FROM sender_domains
WHERE (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s) AND strpos(domain, %(part)s) > 0
ORDER BY id LIMIT %(limit)s OFFSET %(offset)s

-- name: find_domain
-- tenant_id: NULL finds it for an operator.
SELECT id, tenant_id, domain, subdomain, include_subdomains, is_default, uses_cnames, created_at, verified_at,
    checked_at, wrong_since, findings::text
FROM sender_domains WHERE id = %(id)s AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)

-- name: domains_named
SELECT id, tenant_id, domain, subdomain, include_subdomains, is_default, uses_cnames, created_at, verified_at,
    checked_at, wrong_since, findings::text
FROM sender_domains WHERE domain = %(domain)s ORDER BY id LIMIT 10

-- name: default_domain
SELECT id, tenant_id, domain, subdomain, include_subdomains, is_default, uses_cnames, created_at, verified_at,
    checked_at, wrong_since, findings::text
FROM sender_domains
WHERE tenant_id = %(tenant_id)s AND (is_default OR verified_at IS NOT NULL)
    AND (%(domain)s = '' OR domain = %(domain)s)
ORDER BY is_default DESC, id LIMIT 1

-- name: wrong_domains
SELECT id, tenant_id, domain, subdomain, include_subdomains, is_default, uses_cnames, created_at, verified_at,
    checked_at, wrong_since, findings::text
FROM sender_domains WHERE wrong_since <= %(since)s ORDER BY wrong_since LIMIT %(limit)s

-- name: keys_of_domains
SELECT domain_id, id, algorithm, selector, state, public_key, sealed_private_key, created_at, retired_at
FROM dkim_keys WHERE domain_id = ANY (%(ids)s) ORDER BY domain_id, id

-- name: lock_domain
-- Keys are added, activated and retired one after the other.
SELECT id FROM sender_domains WHERE id = %(id)s FOR UPDATE

-- name: clear_default
UPDATE sender_domains SET is_default = false WHERE tenant_id = %(tenant_id)s AND is_default AND id <> %(id)s

-- name: change_domain
UPDATE sender_domains
SET is_default = coalesce(%(is_default)s, is_default),
    include_subdomains = coalesce(%(include_subdomains)s, include_subdomains)
WHERE id = %(id)s AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
RETURNING tenant_id

-- name: remove_domain
DELETE FROM sender_domains WHERE id = %(id)s AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)

-- name: look_at_domain
UPDATE sender_domains SET look_at = %(at)s WHERE id = %(id)s

-- name: domains_to_look_at
-- Takes the domains whose look is due. Another process does not take them too, and if this one dies, they are due
-- again at retry_at.
UPDATE sender_domains SET look_at = %(retry_at)s
WHERE id IN (
    SELECT id FROM sender_domains WHERE look_at <= %(now)s
    ORDER BY look_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id

-- name: looked_at_domain
-- A verified domain stays verified; wrong_since says since when its records are wrong. Keys that were made during the
-- look keep the time of theirs.
UPDATE sender_domains s
SET checked_at = %(at)s, findings = %(findings)s::text::jsonb,
    look_at = CASE
        WHEN EXISTS (
            SELECT FROM dkim_keys k
            WHERE k.domain_id = s.id AND k.state = 'pending' AND k.selector <> ALL (%(selectors)s))
            THEN least(look_at, %(look_at)s)
        ELSE %(look_at)s END,
    wrong_since = CASE
        WHEN verified_at IS NULL OR %(is_right)s THEN NULL
        WHEN %(is_wrong)s THEN coalesce(wrong_since, %(at)s)
        ELSE wrong_since END
WHERE id = %(id)s

-- name: verify_domain
UPDATE sender_domains SET verified_at = %(at)s WHERE id = %(id)s AND verified_at IS NULL

-- name: retire_dkim_keys
-- The keys that those of these selectors replace.
UPDATE dkim_keys k SET state = 'retired', retired_at = %(at)s
WHERE k.domain_id = %(id)s AND k.state = 'active' AND EXISTS (
    SELECT FROM dkim_keys n
    WHERE n.domain_id = k.domain_id AND n.selector = ANY (%(selectors)s) AND n.state = 'pending'
        AND n.algorithm = k.algorithm)

-- name: activate_dkim_keys
UPDATE dkim_keys SET state = 'active', activated_at = %(at)s
WHERE domain_id = %(id)s AND selector = ANY (%(selectors)s) AND state = 'pending'

-- name: signing
-- domains: the author's domain and its parents. One row per active key, RSA first; one without a key if there is none.
SELECT DISTINCT ON (k.algorithm) s.domain, concat(nullif(s.subdomain, '') || '.', s.domain), s.number,
    k.algorithm, k.selector, k.sealed_private_key
FROM (
    SELECT d.id, domain, subdomain, t.number FROM sender_domains d JOIN tenants t ON t.id = d.tenant_id
    WHERE tenant_id = %(tenant_id)s AND domain = ANY (%(domains)s) AND verified_at IS NOT NULL
        AND (domain = (%(domains)s::text[])[1] OR include_subdomains)
    ORDER BY length(domain) DESC LIMIT 1) AS s
LEFT JOIN dkim_keys k ON k.domain_id = s.id AND k.state = 'active'
ORDER BY k.algorithm DESC, k.id
