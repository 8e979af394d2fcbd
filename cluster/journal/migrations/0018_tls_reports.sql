-- TLS reports (RFC 8460): what is to be sent for a day, and what was sent. A row with the destination '' stands for the
-- look-up of the destinations that a domain names.
CREATE TABLE tls_reports (
    day          date NOT NULL,
    domain       text COLLATE "C" NOT NULL,
    destination  text COLLATE "C" NOT NULL,    -- mailto: or https: (RFC 8460 §3)
    due_at       timestamptz,                  -- of the next attempt; NULL: none follows
    until        timestamptz NOT NULL,         -- it is not tried after this
    attempts     integer NOT NULL DEFAULT 0,
    sent_at      timestamptz,
    result       text NOT NULL DEFAULT '',     -- of the last attempt, for people
    PRIMARY KEY (day, domain, destination)
);
CREATE INDEX tls_reports_due ON tls_reports (due_at) WHERE due_at IS NOT NULL;
