-- Erasing addresses from messages to others.

-- The last message that the job has searched.
ALTER TABLE erase_jobs ADD COLUMN searched_to text COLLATE "C" NOT NULL DEFAULT '';

-- Messages to others, and requests, that name an address of a job. They are rewritten when they are finished.
CREATE TABLE erase_mentions (
    job_id      text COLLATE "C" NOT NULL REFERENCES erase_jobs ON DELETE CASCADE,
    id          text COLLATE "C" NOT NULL,        -- of the message or of the request
    message_id  text COLLATE "C" NOT NULL,        -- the message, or one of the request's
    PRIMARY KEY (job_id, id)
);
