-- Statistics of quarters of an hour that are not over: counts of slices of some seconds (analytics/slices.py). Which rows
-- count is known in memory alone, to the process that counted them; the days before are dropped.
CREATE TABLE IF NOT EXISTS slices
(
    tenant_id         LowCardinality(String) COMMENT 'Whose events they are',
    kind              LowCardinality(String) COMMENT 'all, category, provider, class or class_domain',
    name              String                 COMMENT 'The category, the provider, …; of kind all: empty' CODEC(ZSTD(1)),
    slice             DateTime('UTC')        COMMENT 'The first second of the slice' CODEC(Delta, ZSTD(1)),
    tally             UInt64                 COMMENT 'When it was counted; of a slice only one of them counts' CODEC(Delta, ZSTD(1)),
    processed         UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    deferred          UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    delivered         UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    bounces           UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    blocks            UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    drops             UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    bounce_drops      UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    spam_report_drops UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    unsubscribe_drops UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    invalid_emails    UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    opens             UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    unique_opens      UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    clicks            UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    unique_clicks     UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    spam_reports      UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1)),
    unsubscribes      UInt64 COMMENT 'As in tallies' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(tally)
PARTITION BY toYYYYMMDD(slice)
ORDER BY (tenant_id, kind, name, slice)
COMMENT 'Counts of events of the last quarters of an hour, by slices of some seconds';
