-- What happened to processes and to the journal, as the processes noted it themselves (cluster/journal/happenings.py).
CREATE TABLE happenings (
    noted_at  timestamptz NOT NULL DEFAULT now(),
    kind      text NOT NULL,
    actor     text NOT NULL,          -- '' where it is no actor's own
    began_at  timestamptz NOT NULL,
    ended_at  timestamptz NOT NULL
);
CREATE INDEX happenings_noted_at ON happenings (noted_at);
