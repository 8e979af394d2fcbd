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
SELECT policy_type, policy, result_type, mx_host, sending_ip, receiving_ip, sessions FROM tls_results
WHERE day = %(day)s AND domain = %(domain)s
ORDER BY policy_type, policy, result_type, mx_host, sending_ip, receiving_ip

-- name: forget_tls_results
DELETE FROM tls_results WHERE day < %(before)s
