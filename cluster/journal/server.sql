-- What the Postgres server is, for postray doctor and the flight recorder.

-- name: server_facts
SELECT current_setting('server_version_num')::int, current_setting('fsync') = 'on',
    current_setting('full_page_writes') = 'on', current_setting('synchronous_commit'),
    current_setting('max_locks_per_transaction')::int, current_setting('max_connections')::int,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), pg_is_in_recovery(),
    clock_timestamp()

-- name: server_began
-- When the server was started, and when it began anew: with its own processes, after one of any kind was lost. A login
-- that may not see these gets NULL.
SELECT pg_postmaster_start_time(),
    (SELECT min(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer')
