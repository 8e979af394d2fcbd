-- The order in which events came to the log, to read them one after the other, and the posts of webhooks.
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    log_tx           UInt64                  COMMENT 'With sequence: its place in the event log; 0 in events from before it was kept' CODEC(ZSTD(1))
    AFTER machine_rule;
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    sequence         UInt64                  COMMENT 'Rises within a message; 0 in events from before it was kept' CODEC(ZSTD(1))
    AFTER log_tx;

-- A view keeps the columns it was made with.
CREATE OR REPLACE VIEW events_once AS SELECT * FROM events FINAL;

-- The events of each tenant in the order of the log: only what it takes to find them in events. A repeat has the same
-- key. It begins with the first event that has a place in the log: to copy older ones could take hours.
CREATE TABLE IF NOT EXISTS feed
(
    tenant_id  LowCardinality(String) COMMENT 'Whose event it is',
    log_tx     UInt64                 COMMENT 'As in events' CODEC(Delta, ZSTD(1)),
    sequence   UInt64                 COMMENT 'As in events' CODEC(Delta, ZSTD(1)),
    event_id   String                 COMMENT 'As in events' CODEC(ZSTD(1)),
    message_id String                 COMMENT 'As in events' CODEC(ZSTD(1)),
    at         DateTime64(3, 'UTC')   COMMENT 'As in events' CODEC(Delta, ZSTD(1)),
    event      LowCardinality(String) COMMENT 'As in events',
    INDEX at_range at TYPE minmax GRANULARITY 4,
    INDEX message_ids message_id TYPE bloom_filter GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant_id, log_tx, sequence, event_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The events in the order of the log: for GET /v3/events and replays of webhooks';

-- It writes to feed in the insert into events, so that no event is in one of them only.
CREATE MATERIALIZED VIEW IF NOT EXISTS feed_of_events TO feed AS
SELECT tenant_id, log_tx, sequence, event_id, message_id, at, event FROM events WHERE log_tx > 0;

CREATE TABLE IF NOT EXISTS webhook_attempts
(
    attempt_id      String                 COMMENT 'Stable name of this post: a replay of the log repeats it',
    at              DateTime64(3, 'UTC')   COMMENT 'When it began' CODEC(Delta, ZSTD(1)),
    tenant_id       LowCardinality(String) COMMENT 'Whose endpoint it is',
    webhook_id      LowCardinality(String) COMMENT 'The endpoint',
    url             String                 COMMENT 'Where it was posted to' CODEC(ZSTD(1)),
    attempt         UInt32                 COMMENT '1 for the first post of these events' CODEC(ZSTD(1)),
    event_ids       Array(String)          COMMENT 'The events in it' CODEC(ZSTD(1)),
    request_headers String                 COMMENT 'Lines, without secrets' CODEC(ZSTD(1)),
    request_body    String                 COMMENT 'Cut at 4 KB' CODEC(ZSTD(1)),
    request_bytes   UInt32                 COMMENT 'The length of the whole body' CODEC(ZSTD(1)),
    status          UInt16                 COMMENT 'Of the answer; 0: there was none' CODEC(ZSTD(1)),
    answer_headers  String                 COMMENT 'Lines' CODEC(ZSTD(1)),
    answer_body     String                 COMMENT 'Cut at 4 KB' CODEC(ZSTD(1)),
    error           String                 COMMENT 'Why there was no answer' CODEC(ZSTD(1)),
    duration_ms     UInt32                 COMMENT 'From the first packet to the end of the answer' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(at)
ORDER BY (webhook_id, at, attempt_id)
TTL toDateTime(at) + INTERVAL 7 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
COMMENT 'The posts of webhooks and their answers, for seven days; may hold repeats';
