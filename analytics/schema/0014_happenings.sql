-- What processes have noted of themselves and of the journal, with exact times: a sample tells it even of the time in which
-- none could be taken. Samples of before have nothing of it.
ALTER TABLE samples
    ADD COLUMN IF NOT EXISTS happened Array(Tuple(LowCardinality(String), LowCardinality(String), DateTime64(3, 'UTC'), DateTime64(3, 'UTC'))) COMMENT 'What processes noted since the sample before, and some of it again: began, ray_began, stood_still, journal_away, journal_started, journal_recovered or rewritten; the actor; from and until when' CODEC(ZSTD(1));
