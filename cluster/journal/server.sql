-- What the Postgres server is, for postray doctor.

-- name: server_facts
SELECT current_setting('server_version_num')::int, current_setting('fsync') = 'on',
    current_setting('full_page_writes') = 'on', current_setting('synchronous_commit'),
    current_setting('max_locks_per_transaction')::int, current_setting('max_connections')::int,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), pg_is_in_recovery(),
    clock_timestamp()
