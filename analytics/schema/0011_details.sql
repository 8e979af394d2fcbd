-- What a message's timeline shows of an event besides who, when and the reply, in one column: most of what such a query
-- costs is planned and read for each column. ClickHouse makes it with each insert, and anew when an erasure changes what
-- is in it; of older rows it is made as they are read, and stored as their parts are merged. SELECT * leaves it out.
-- The order is that of Details in analytics/queries.py.
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    details          String MATERIALIZED toJSONString((event, tenant_id, attempt, site, mx_host, mx_ip, source_ip,
        tls_version, tls_cipher, duration_ms, bounce_type, bounce_class, reason, toUnixTimestamp64Milli(next_attempt_at),
        url, link_index, image, asm_group_id, ip, user_agent, machine, machine_rule))
    COMMENT 'For timelines: most other columns of the row, as JSON' CODEC(ZSTD(1));
