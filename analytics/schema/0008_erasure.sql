-- What is being erased: events, and posts of webhooks with them. Mutations select by this table, since their text stays
-- in files and in system.mutations: no address is in it.
CREATE TABLE IF NOT EXISTS erasing
(
    job_id     String                  COMMENT 'The erase job',
    kind       LowCardinality(String)  COMMENT 'event: goes; mention: an event of another recipient, its texts go; first: a first open or click, goes; attempt: a post, goes',
    message_id String                  COMMENT 'Of an event',
    id         String                  COMMENT 'event_id, hash of the recipient or attempt_id'
)
ENGINE = MergeTree
PARTITION BY job_id
ORDER BY (kind, message_id, id)
COMMENT 'Ids of what an erase job is deleting; empty when none runs';
