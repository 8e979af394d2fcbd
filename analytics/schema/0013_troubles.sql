-- What tells of a trouble afterwards: which processes began anew or stood still, and how the journal, the connections, the
-- endpoints of webhooks and ClickHouse itself went. Samples of before have nothing of it.
ALTER TABLE samples
    ADD COLUMN IF NOT EXISTS refused            UInt32                       COMMENT 'Requests that were not taken in the interval: postray was full, or the journal away' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS started            Map(LowCardinality(String), DateTime('UTC')) COMMENT 'Actors whose processes began in the ten minutes before, and when' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS stood_s            Map(LowCardinality(String), Float32) COMMENT 'Actors whose event loop stood still for a second or longer, and for how long in the interval' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS nodes              UInt32                       COMMENT 'Live nodes that take actors; 0: it is not known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS journal_failures   UInt32                       COMMENT 'Calls of the journal in the interval that failed, since it was away or too slow' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS journal_slow       UInt32                       COMMENT 'Calls of the journal that took longer than a second' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS journal_started    Nullable(DateTime('UTC'))    COMMENT 'When its server was started' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS journal_recovered  Nullable(DateTime('UTC'))    COMMENT 'When its server last began anew after one of its processes was lost; NULL: it may not be known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS log_lag_s          Float32                      COMMENT 'Age of the first event that ClickHouse does not have' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS connections_failed UInt32                       COMMENT 'SMTP connections in the interval that could not be opened' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS connections_lost   UInt32                       COMMENT 'SMTP connections that their hosts broke off' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS partitions         UInt32                       COMMENT 'Partitions of past days that were rewritten in the interval' CODEC(ZSTD(1));
