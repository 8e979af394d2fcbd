-- What was stored, once an hour, for the forecast of the disk (cluster/policy/storage.py).
CREATE TABLE storage_samples (
    at           timestamptz PRIMARY KEY,
    stored_bytes bigint NOT NULL,
    free_bytes   bigint                       -- NULL: the disk is not one of ours
);
