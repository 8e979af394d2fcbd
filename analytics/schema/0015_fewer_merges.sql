-- Merges took a third of what an insert costs in all. By default parts are merged three to five at a time, so each row is
-- written again and again on its way into a large part. With ten at a time it is written half as often. A partition has
-- some more small parts: a timeline over them takes no longer, since parts of events hardly overlap in message_id.
ALTER TABLE events MODIFY SETTING min_parts_to_merge_at_once = 10;
ALTER TABLE feed MODIFY SETTING min_parts_to_merge_at_once = 10;
