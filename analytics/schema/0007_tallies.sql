-- Statistics: counts of events by quarter of an hour, UTC, from which the days of all time zones are made.
--
-- A quarter is counted as a whole, so that a repeat in events changes nothing; analytics/tallies.py decides when. Until
-- it is counted its events are counted by each question, so that answers are exact at any time.
CREATE TABLE IF NOT EXISTS tallies
(
    tenant_id         LowCardinality(String) COMMENT 'Whose events they are',
    kind              LowCardinality(String) COMMENT 'all, category, provider, class or class_domain',
    name              String                 COMMENT 'The category, the provider, …; of kind all: empty' CODEC(ZSTD(1)),
    quarter           DateTime('UTC')        COMMENT 'The first second of the quarter' CODEC(Delta, ZSTD(1)),
    part              DateTime('UTC')        COMMENT 'A busy quarter is counted in parts, by time: where this begins' CODEC(Delta, ZSTD(1)),
    tally             UInt64                 COMMENT 'When it was counted: as in quarters, or it does not count' CODEC(Delta, ZSTD(1)),
    processed         UInt64 COMMENT 'Events processed' CODEC(ZSTD(1)),
    deferred          UInt64 COMMENT 'Events deferred' CODEC(ZSTD(1)),
    delivered         UInt64 COMMENT 'Events delivered' CODEC(ZSTD(1)),
    bounces           UInt64 COMMENT 'Events bounce' CODEC(ZSTD(1)),
    blocks            UInt64 COMMENT 'Events blocked' CODEC(ZSTD(1)),
    drops             UInt64 COMMENT 'Events dropped' CODEC(ZSTD(1)),
    bounce_drops      UInt64 COMMENT 'Of drops: on the list of bounces' CODEC(ZSTD(1)),
    spam_report_drops UInt64 COMMENT 'Of drops: on the list of spam reports' CODEC(ZSTD(1)),
    unsubscribe_drops UInt64 COMMENT 'Of drops: unsubscribed from all mail or the group' CODEC(ZSTD(1)),
    invalid_emails    UInt64 COMMENT 'Of bounces: no such domain; of drops: on the list of invalid addresses' CODEC(ZSTD(1)),
    opens             UInt64 COMMENT 'Events open' CODEC(ZSTD(1)),
    unique_opens      UInt64 COMMENT 'The first open of each recipient of a message' CODEC(ZSTD(1)),
    clicks            UInt64 COMMENT 'Events click' CODEC(ZSTD(1)),
    unique_clicks     UInt64 COMMENT 'The first click of each recipient of a message' CODEC(ZSTD(1)),
    spam_reports      UInt64 COMMENT 'Events spam_report' CODEC(ZSTD(1)),
    unsubscribes      UInt64 COMMENT 'Events unsubscribe and group_unsubscribe' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(tally)
PARTITION BY toYear(quarter)
ORDER BY (tenant_id, kind, name, quarter, part)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Counts of events by quarter of an hour; only together with quarters';

CREATE TABLE IF NOT EXISTS quarters
(
    quarter   DateTime('UTC') COMMENT 'A quarter of an hour that has events',
    version   UInt64          COMMENT 'Of the rows of a quarter the one with the greatest counts',
    tally     UInt64          COMMENT 'The rows of tallies that count; 0: none yet',
    is_dirty  Bool            COMMENT 'There may be events that the tally does not have',
    is_filled Bool            COMMENT 'Its opens and clicks are in firsts'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY quarter
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Which quarters of an hour have been counted';

-- When each recipient of a message first opened it, and first followed a link: these opens and clicks are the unique
-- ones. To take the earlier of two times is to change nothing when both are the same, so repeats do no harm. Rows are
-- looked up by message, a few in each of many places: hence the small granules.
CREATE TABLE IF NOT EXISTS firsts
(
    message_id     String                 COMMENT 'As in events' CODEC(ZSTD(1)),
    recipient_hash UInt64                 COMMENT 'sipHash64 of recipient',
    event          LowCardinality(String) COMMENT 'open or click',
    tenant_id      LowCardinality(String) COMMENT 'As in events',
    first_at       SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'When it first happened' CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PRIMARY KEY message_id
ORDER BY (message_id, recipient_hash, event, tenant_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 256
COMMENT 'The first open and click of each recipient of a message';

CREATE MATERIALIZED VIEW IF NOT EXISTS firsts_of_events TO firsts AS
SELECT message_id, sipHash64(recipient) AS recipient_hash, event, tenant_id, min(at) AS first_at
FROM events
WHERE event IN ('open', 'click')
GROUP BY message_id, recipient_hash, event, tenant_id;

-- The quarters of the events that there are: they are counted in the background.
INSERT INTO quarters
SELECT toStartOfFifteenMinutes(at) AS quarter, 0, 0, true, false
FROM events
WHERE at >= toDateTime64('1970-01-01 00:00:00', 3, 'UTC') AND at < toDateTime64('2106-02-07 00:00:00', 3, 'UTC')
GROUP BY quarter;
