-- Lives of delivery actors that ended while they were at work on a message, a row each (policy/strikes.py). Few: a
-- message has two at most before it is set aside.
CREATE TABLE strikes (
    request_id  text COLLATE "C" NOT NULL,
    life        bigint NOT NULL,             -- the epoch of the actor
    message_id  text COLLATE "C" NOT NULL,
    shared      boolean NOT NULL,            -- at work on what the request's messages share
    actor       text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (request_id, life, message_id)
);
CREATE INDEX strikes_of_message ON strikes (message_id);
CREATE INDEX strikes_at ON strikes (at);
