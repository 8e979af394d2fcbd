-- Each table has its end: analytics/retention.py sets the TTL, from the settings. A part goes as a whole, once all of its
-- rows have expired. When a TTL is changed, only the times of the parts are calculated again.
ALTER TABLE events MODIFY SETTING ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;
ALTER TABLE feed MODIFY SETTING ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;
ALTER TABLE tallies MODIFY SETTING ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;
-- These are not divided by time: expired rows go as parts are merged, for that reason alone once a week at most.
ALTER TABLE firsts MODIFY SETTING merge_with_ttl_timeout = 604800, materialize_ttl_recalculate_only = 1;
ALTER TABLE quarters MODIFY SETTING merge_with_ttl_timeout = 604800, materialize_ttl_recalculate_only = 1;
