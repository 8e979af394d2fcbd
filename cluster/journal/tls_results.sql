-- The counts for TLS reports.

-- name: add_tls_results
-- In the order of the key, so that two actors that add to the same rows cannot deadlock.
INSERT INTO tls_results AS t
    (day, domain, policy_type, policy, result_type, mx_host, sending_ip, receiving_ip, sessions)
SELECT * FROM unnest(
    %(days)s::date[], %(domains)s::text[], %(policy_types)s::text[], %(policies)s::text[], %(result_types)s::text[],
    %(mx_hosts)s::text[], %(sending_ips)s::text[], %(receiving_ips)s::text[], %(sessions)s::bigint[]
)
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
ON CONFLICT (day, domain, policy_type, hashtextextended(policy, 0), result_type, mx_host, sending_ip, receiving_ip)
DO UPDATE SET sessions = t.sessions + excluded.sessions

-- name: tls_results
-- Without the texts of the policies, which may be long.
SELECT r.policy_type, r.hash, r.result_type, r.mx_host, r.sending_ip, r.receiving_ip, r.sessions FROM (
    SELECT policy_type, hashtextextended(policy, 0) AS hash, result_type, mx_host, sending_ip, receiving_ip, sessions
    FROM tls_results WHERE day = %(day)s AND domain = %(domain)s
    ORDER BY sessions DESC, policy_type, hashtextextended(policy, 0), result_type, mx_host, sending_ip, receiving_ip
    LIMIT %(limit)s
) AS r
ORDER BY r.policy_type, r.hash, r.result_type, r.mx_host, r.sending_ip, r.receiving_ip

-- name: tls_policy_texts
SELECT w.policy_type, w.hash, t.policy
FROM unnest(%(policy_types)s::text[], %(hashes)s::bigint[]) AS w (policy_type, hash)
CROSS JOIN LATERAL (
    SELECT policy FROM tls_results
    WHERE day = %(day)s AND domain = %(domain)s AND policy_type = w.policy_type
      AND hashtextextended(policy, 0) = w.hash
    LIMIT 1
) AS t

-- name: tls_result_domains
SELECT DISTINCT domain FROM tls_results WHERE day = %(day)s AND domain > %(after)s ORDER BY domain LIMIT %(limit)s
