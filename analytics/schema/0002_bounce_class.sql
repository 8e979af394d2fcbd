-- Why a delivery was deferred or bounced, in classes that can be counted: cluster/policy/bounce.py says what each means.
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    bounce_class     LowCardinality(String)  COMMENT 'Why it was deferred or bounced, such as bad_mailbox; else empty'
    AFTER bounce_type;

-- A view keeps the columns it was made with.
CREATE OR REPLACE VIEW events_once AS SELECT * FROM events FINAL;
