-- The events as analysts read them: a row per fact about one recipient of one message.
--
-- A replayed batch writes rows that are already there. They agree in every column, so they have the same sorting key
-- and, as `at` never changes, lie in the same partition: merges remove them, and until then FINAL (events_once) does.
--
-- message_id comes first although statistics ask by tenant: message ids grow with time, so that the parts hardly
-- overlap and FINAL has next to nothing to compare. With the tenant first every part overlaps every other: the
-- statistics of all tenants took 3 times as long, those of one tenant were no faster, as the index on `at` leaves
-- both to read the same days. No materialized view counts ahead: fed by inserts, it would count a replay twice.
CREATE TABLE IF NOT EXISTS events
(
    event_id         String                  COMMENT 'Stable name of this fact: a replay repeats it',
    at               DateTime64(3, 'UTC')    COMMENT 'When it happened' CODEC(Delta, ZSTD(1)),
    tenant_id        LowCardinality(String)  COMMENT 'Whose message it is',
    message_id       String                  COMMENT 'The message, as the API names it' CODEC(ZSTD(1)),
    event            LowCardinality(String)  COMMENT 'processed, deferred, delivered, bounce, blocked or dropped',
    recipient        String                  COMMENT 'The address it is about' CODEC(ZSTD(1)),
    recipient_domain String                  COMMENT 'What follows the @ of recipient, in lower case' CODEC(ZSTD(1)),
    batch_id         String                  COMMENT 'The batch the message belongs to; empty: none' CODEC(ZSTD(1)),
    categories       Array(LowCardinality(String)) COMMENT 'The categories the sender gave the message',
    attempt          UInt32                  COMMENT 'SMTP transaction: 1 for the first; 0: there was none' CODEC(ZSTD(1)),
    site             String                  COMMENT 'The destination whose limits applied' CODEC(ZSTD(1)),
    mx_host          String                  COMMENT 'The host that was spoken to' CODEC(ZSTD(1)),
    mx_ip            String                  COMMENT 'Its address' CODEC(ZSTD(1)),
    source_ip        LowCardinality(String)  COMMENT 'Our address in that connection',
    tls_version      LowCardinality(String)  COMMENT 'Such as TLSv1.3; empty: not encrypted',
    tls_cipher       LowCardinality(String)  COMMENT 'As OpenSSL names it; empty: not encrypted',
    smtp_response    String                  COMMENT 'The reply, its lines joined with newlines; empty: none' CODEC(ZSTD(1)),
    duration_ms      UInt32                  COMMENT 'From MAIL FROM to the last reply' CODEC(ZSTD(1)),
    bounce_type      LowCardinality(String)  COMMENT 'hard, soft or block on bounce and blocked; else empty',
    reason           String                  COMMENT 'Why it was deferred, bounced, blocked or dropped' CODEC(ZSTD(1)),
    next_attempt_at  Nullable(DateTime64(3, 'UTC')) COMMENT 'On deferred: when the next attempt is due' CODEC(ZSTD(1)),
    INDEX at_range at TYPE minmax GRANULARITY 4,
    INDEX batch_ids batch_id TYPE bloom_filter GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY message_id
ORDER BY (message_id, at, event_id)
-- The event log forgets what was inserted, so an insert must outlive a power cut. With granules of the usual 8192 rows,
-- finding those of one message took a quarter longer. A table made with those keeps them: only its speed differs.
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 2048
COMMENT 'A row per fact about one recipient of one message; may hold repeats: read events_once';

-- What to query: every event exactly once. Filters on message_id, at, batch_id and tenant_id reach the table below.
--   SELECT toDate(at) AS day, event, count() FROM events_once WHERE tenant_id = '…' AND at >= '2026-04-01'
--   GROUP BY day, event ORDER BY day, event
-- By category: add arrayJoin(categories) AS category to SELECT and GROUP BY.
CREATE VIEW IF NOT EXISTS events_once AS SELECT * FROM events FINAL;
