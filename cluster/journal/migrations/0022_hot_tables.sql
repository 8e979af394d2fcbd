-- The event log is emptied from its front all the time, and a consumer that was away leaves it long. Vacuum sees to it as
-- often as to the queue, and at the same speed: then the front is used again, and the file's end is given back.
ALTER TABLE event_log SET (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_cost_delay = 0);
