-- What recipients did with messages. Older rows are of other events, so the new columns' defaults are true of them.
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    url              String                  COMMENT 'On click: where the link leads' CODEC(ZSTD(1))
    AFTER next_attempt_at;
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    link_index       UInt32                  COMMENT 'On click: the number of the link in the message, from 0' CODEC(ZSTD(1))
    AFTER url;
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    image            String                  COMMENT 'On open: the image of the library; empty: the pixel' CODEC(ZSTD(1))
    AFTER link_index;
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    asm_group_id     UInt32                  COMMENT 'On group_unsubscribe and group_resubscribe: the group; 0: all mail' CODEC(ZSTD(1))
    AFTER image;
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    ip               String                  COMMENT 'The address of the client, as far as tracking.ip keeps it' CODEC(ZSTD(1))
    AFTER asm_group_id;
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    user_agent       String                  COMMENT 'What the client says that it is' CODEC(ZSTD(1))
    AFTER ip;
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    machine          Bool                    COMMENT 'A program opened or clicked, not a person'
    AFTER user_agent;
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    machine_rule     LowCardinality(String)  COMMENT 'The rule by which it was a program: docs/tracking.md'
    AFTER machine;
ALTER TABLE events COMMENT COLUMN IF EXISTS event 'What happened, such as delivered or open: docs/querying.md';

-- A view keeps the columns it was made with.
CREATE OR REPLACE VIEW events_once AS SELECT * FROM events FINAL;

-- Whether and when recipients opened messages and followed links: a row for each message, recipient and event. Each row
-- is one of the unique opens or clicks, on the day of first_at.
CREATE OR REPLACE VIEW engagement AS
SELECT tenant_id, message_id, recipient, event, any(batch_id) AS batch_id, any(categories) AS categories,
    count() AS times, countIf(NOT machine) AS times_by_people, min(at) AS first_at,
    minOrNullIf(at, NOT machine) AS first_at_by_people
FROM events FINAL
WHERE event IN ('open', 'click')
GROUP BY tenant_id, message_id, recipient, event;
