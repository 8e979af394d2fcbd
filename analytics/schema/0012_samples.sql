-- The flight recorder: what the delivery actors hold and how it goes, every ten seconds. Samples belong to no tenant: they
-- name sites and hosts, and mask addresses in what hosts said. Retention sets the TTL (analytics/retention.py).
CREATE TABLE IF NOT EXISTS site_samples
(
    site               String                 COMMENT 'The site' CODEC(ZSTD(1)),
    source             LowCardinality(String) COMMENT 'The source; empty: the address that the system chooses',
    at                 DateTime('UTC')        COMMENT 'When it was sampled' CODEC(Delta, ZSTD(1)),
    interval_s         Float32                COMMENT 'The counts are of so many seconds before' CODEC(ZSTD(1)),
    queued             UInt32                 COMMENT 'Deliveries in memory that wait for their turn' CODEC(ZSTD(1)),
    held_back          UInt32                 COMMENT 'Of these: held back by the limits of their tenants' CODEC(ZSTD(1)),
    parked             UInt32                 COMMENT 'Deliveries in the journal that memory has no room for; at most 100,000 of a lane, as of the last count' CODEC(ZSTD(1)),
    in_flight          UInt32                 COMMENT 'Messages claimed and not reported' CODEC(ZSTD(1)),
    connections        UInt32                 COMMENT 'Open, or being opened or closed' CODEC(ZSTD(1)),
    accepted           UInt32                 COMMENT 'Recipients that hosts accepted in the interval' CODEC(ZSTD(1)),
    deferred           UInt32                 COMMENT 'Recipients put off in the interval' CODEC(ZSTD(1)),
    bounced            UInt32                 COMMENT 'Recipients refused for good in the interval' CODEC(ZSTD(1)),
    transactions       UInt32                 COMMENT 'Messages carried in the interval' CODEC(ZSTD(1)),
    spent_s            Float32                COMMENT 'What their transactions took, summed' CODEC(ZSTD(1)),
    connection_limit   UInt32                 COMMENT 'Connections that it may have; 0: it had no more work' CODEC(ZSTD(1)),
    connections_per_ip UInt32                 COMMENT 'To one address; 0: no limit' CODEC(ZSTD(1)),
    message_rate       Float32                COMMENT 'Messages a second that it may send; 0: no limit' CODEC(ZSTD(1)),
    connection_rate    Float32                COMMENT 'New connections a second; 0: no limit' CODEC(ZSTD(1)),
    warm_up_cap        Nullable(UInt32)       COMMENT 'Messages of the source to the site on this day; NULL: no limit' CODEC(ZSTD(1)),
    binds              LowCardinality(String) COMMENT 'The limit that holds back what is sent; empty: none',
    adjustments        Array(LowCardinality(String)) COMMENT 'What automation changed, and what hosts announced' CODEC(ZSTD(1)),
    reply_at           Nullable(DateTime('UTC')) COMMENT 'When a host last replied' CODEC(ZSTD(1)),
    reply_host         LowCardinality(String) COMMENT 'Which one',
    reply_kind         LowCardinality(String) COMMENT 'accepted, deferred or bounced',
    reply              String                 COMMENT 'What it said, without addresses' CODEC(ZSTD(1)),
    policy_version     UInt32                 COMMENT 'Of shaping and routing' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(at)
ORDER BY (site, source, at)
SETTINGS ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'The flight recorder: every site that had work, every ten seconds, at most 2,000 of them';

CREATE TABLE IF NOT EXISTS samples
(
    at             DateTime('UTC')   COMMENT 'When it was sampled' CODEC(Delta, ZSTD(1)),
    interval_s     Float32           COMMENT 'The counts are of so many seconds before' CODEC(ZSTD(1)),
    taken          UInt32            COMMENT 'Messages that postray accepted in the interval' CODEC(ZSTD(1)),
    accepted       UInt32            COMMENT 'Recipients that hosts accepted in the interval' CODEC(ZSTD(1)),
    deferred       UInt32            COMMENT 'Recipients put off in the interval' CODEC(ZSTD(1)),
    bounced        UInt32            COMMENT 'Recipients refused for good in the interval' CODEC(ZSTD(1)),
    transactions   UInt32            COMMENT 'Messages carried in the interval' CODEC(ZSTD(1)),
    spent_s        Float32           COMMENT 'What their transactions took, summed' CODEC(ZSTD(1)),
    unfinished     UInt64            COMMENT 'Deliveries in the journal that are not finished; an estimate' CODEC(ZSTD(1)),
    queued         UInt32            COMMENT 'Of these: in memory, waiting for their turn' CODEC(ZSTD(1)),
    in_flight      UInt32            COMMENT 'Messages claimed and not reported' CODEC(ZSTD(1)),
    connections    UInt32            COMMENT 'SMTP connections' CODEC(ZSTD(1)),
    sites          UInt32            COMMENT 'Sites that had work' CODEC(ZSTD(1)),
    left_out       UInt32            COMMENT 'Of these: not in site_samples, as there were more than 2,000' CODEC(ZSTD(1)),
    oldest_s       Float32           COMMENT 'Age of the oldest unfinished message, scheduled ones among them' CODEC(ZSTD(1)),
    overdue_s      Float32           COMMENT 'For how long what is due first has been due' CODEC(ZSTD(1)),
    late_s         Float32           COMMENT 'How late the latest of what was first tried was begun, where no limit held it' CODEC(ZSTD(1)),
    journal_ms     Nullable(Float32) COMMENT 'How long the journal took to say that; NULL: it did not answer' CODEC(ZSTD(1)),
    silent         Array(LowCardinality(String)) COMMENT 'Actors that did not answer' CODEC(ZSTD(1)),
    policy_version UInt32            COMMENT 'Of shaping and routing' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY at
SETTINGS ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'The flight recorder: the whole, every ten seconds';
