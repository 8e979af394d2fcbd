-- Recipients that ended while they were parked or paused, and whose message has others that are not finished, stayed
-- where they were, and were taken from there as if they waited.
UPDATE deliveries SET lane = NULL, paused_due_at = NULL, due_at = 'infinity'
WHERE (lane IS NOT NULL OR paused_due_at IS NOT NULL) AND status > 'sending';
