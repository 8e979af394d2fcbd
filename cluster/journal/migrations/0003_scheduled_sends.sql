-- What clients command of a whole batch: a pause, or a cancellation that also holds for what is accepted later.
CREATE TABLE scheduled_sends (
    batch_id    text COLLATE "C" PRIMARY KEY REFERENCES batches,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants,
    status      text NOT NULL CHECK (status IN ('pause', 'cancel', 'resume')),
    settled     boolean NOT NULL DEFAULT false,  -- whether the batch's deliveries are all as the status says
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX scheduled_sends_of_tenant ON scheduled_sends (tenant_id, batch_id);
CREATE INDEX scheduled_sends_unsettled ON scheduled_sends (changed_at) WHERE NOT settled;

-- A delivery of a paused batch is looked at again only when its lifetime ends (due_at); here is when it was due.
ALTER TABLE deliveries ADD COLUMN paused_due_at timestamptz;
CREATE INDEX deliveries_paused ON deliveries (batch_id) WHERE paused_due_at IS NOT NULL;

-- Of messages that were failed by hand: until when an SMTP transaction may still be under way, and, where some of
-- the recipients had the message already, how each of them ended. A retry needs both.
ALTER TABLE outcomes ADD COLUMN busy_until timestamptz;
ALTER TABLE outcomes ADD COLUMN recipients delivery_status[];
