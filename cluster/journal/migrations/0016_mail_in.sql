-- Mail that comes in: reports on messages, complaints, and unsubscribes by mail.

-- What came, what it was taken for, and what followed. Kept for a time, the oldest going first (cluster/mail_in).
CREATE TABLE mail_in (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,                   -- what it was taken for
    effect      text NOT NULL DEFAULT '',        -- what followed; '': nothing
    why         text NOT NULL,                   -- how that was told, a line for each step
    sender      text NOT NULL,                   -- of the envelope
    mailbox     text NOT NULL,                   -- the address that it came to
    tenant_id   text COLLATE "C",                -- of the message that it is about; NULL where that is not known
    message_id  text COLLATE "C",
    recipients  text[] NOT NULL DEFAULT '{}',    -- those that it is about
    size        integer NOT NULL,                -- in octets
    digest      bytea NOT NULL UNIQUE,           -- of all of it: what comes twice counts once
    original    bytea                            -- what was not understood, cut; NULL of what was
);
CREATE INDEX mail_in_of_message ON mail_in (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX mail_in_at ON mail_in (at);

-- Who has complained of what: a complaint counts once, however often it is reported.
CREATE TABLE complaints (
    tenant_id    text COLLATE "C" NOT NULL,
    message_id   text COLLATE "C" NOT NULL,
    recipient_no integer NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, message_id, recipient_no)
);

-- Messages that a host took, which count as sent until no report has come for so long (delivery.dsn_window_s).
CREATE TABLE report_windows (
    message_id  text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    batch_id    text COLLATE "C",
    due_at      timestamptz NOT NULL
);
CREATE INDEX report_windows_due ON report_windows (due_at);
CREATE INDEX report_windows_of_batch ON report_windows (batch_id) WHERE batch_id IS NOT NULL;
