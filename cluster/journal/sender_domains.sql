-- Sender domains and their signing keys.

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
FROM sender_domains s JOIN dkim_keys k ON k.domain_id = s.id AND k.state = 'active'
WHERE s.tenant_id = %(tenant_id)s
ORDER BY s.id, k.id

-- name: signing
-- domains: the author's domain and its parents. One row per active key, RSA first; one without a key if there is none.
SELECT DISTINCT ON (k.algorithm) s.domain, concat(nullif(s.subdomain, '') || '.', s.domain), k.algorithm, k.selector, k.sealed_private_key
FROM (
    SELECT id, domain, subdomain FROM sender_domains
    WHERE tenant_id = %(tenant_id)s AND domain = ANY (%(domains)s) AND verified_at IS NOT NULL
        AND (domain = (%(domains)s::text[])[1] OR include_subdomains)
    ORDER BY length(domain) DESC LIMIT 1) AS s
LEFT JOIN dkim_keys k ON k.domain_id = s.id AND k.state = 'active'
ORDER BY k.algorithm DESC, k.id

-- name: sealed
-- The values that are sealed with the cluster's secret, each with a description; the newest first.
(SELECT 'the DKIM key of ' || s.domain, k.sealed_private_key
 FROM dkim_keys k JOIN sender_domains s ON s.id = k.domain_id ORDER BY k.id DESC LIMIT %(limit)s)
UNION ALL
(SELECT 'routing.toml, version ' || version, routing FROM policies ORDER BY version DESC LIMIT 1)
LIMIT %(limit)s
