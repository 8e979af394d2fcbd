-- What tenants ask of the API processes, and what they have used of their daily quotas.

-- name: exchange_demands
-- Reports the demands of a process; returns those that the others have reported lately.
WITH reported AS (
    INSERT INTO tenant_demand (process, demands) VALUES (%(process)s, %(demands)s)
    ON CONFLICT (process) DO UPDATE SET demands = excluded.demands, at = clock_timestamp()
)
SELECT process, demands, extract(epoch FROM at)::float8 FROM tenant_demand
WHERE process <> %(process)s AND at > clock_timestamp() - interval '5 seconds'

-- name: count_usage
-- In the order of the key, so that two commits of a process cannot deadlock.
INSERT INTO tenant_usage AS u (tenant_id, day, shard, messages)
SELECT tenant_id, day, %(shard)s, messages
FROM unnest(%(tenant_ids)s::text[], %(days)s::date[], %(messages)s::bigint[]) AS c (tenant_id, day, messages)
ORDER BY tenant_id, day
ON CONFLICT (tenant_id, day, shard) DO UPDATE SET messages = u.messages + excluded.messages

-- name: usage
SELECT tenant_id, coalesce(sum(messages) FILTER (WHERE shard = %(shard)s), 0)::bigint,
    coalesce(sum(messages) FILTER (WHERE shard <> %(shard)s), 0)::bigint
FROM tenant_usage WHERE tenant_id = ANY (%(tenant_ids)s::text[]) AND day = %(day)s::date
GROUP BY tenant_id
