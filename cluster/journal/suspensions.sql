-- Suspensions of sites and tenants.

-- name: suspend
-- Adds or replaces a suspension. Automation does not replace an operator's suspension that is active.
INSERT INTO suspensions (site, tenant_id, until, reason, made_by)
VALUES (%(site)s, %(tenant_id)s, %(until)s, %(reason)s, %(made_by)s)
ON CONFLICT (site, tenant_id) DO UPDATE
SET until = excluded.until, reason = excluded.reason, made_by = excluded.made_by, created_at = now()
WHERE excluded.made_by = 'operator' OR suspensions.made_by = 'automation' OR suspensions.until <= now()

-- name: resume
DELETE FROM suspensions WHERE site = coalesce(%(site)s, site) AND tenant_id = coalesce(%(tenant_id)s, tenant_id)
RETURNING site, tenant_id, until, reason, made_by, created_at

-- name: in_force
-- The version of the policies, with each suspension, or once without one: every process asks each second.
-- A suspended tenant is one at every site, until it is resumed. It comes last of those of its key: it ends last.
SELECT p.version, s.*
FROM (SELECT coalesce(max(version), 0) AS version FROM policies) p
LEFT JOIN (
    SELECT site, tenant_id, until, reason, made_by, created_at FROM suspensions WHERE until > now()
    UNION ALL
    SELECT '', id, '9999-12-31 00:00:00Z',
        'the tenant is suspended' || CASE suspended_for WHEN '' THEN '' ELSE ': ' || suspended_for END,
        CASE suspended_for WHEN '' THEN 'operator' ELSE 'automation' END, suspended_at
    FROM tenants
    WHERE suspended_at IS NOT NULL AND erased_at IS NULL
) s ON true
ORDER BY s.site, s.tenant_id, s.until
