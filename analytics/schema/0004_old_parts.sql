-- What has been merged is looked for every minute at most, not every five minutes, and deleted by one thread. By default
-- a hundred such parts, which a steady load makes in three minutes, are deleted in 128 threads, which then stay, with
-- their memory and three descriptors each.
ALTER TABLE events MODIFY SETTING max_cleanup_delay_period = 60, concurrent_part_removal_threshold = 100000;
