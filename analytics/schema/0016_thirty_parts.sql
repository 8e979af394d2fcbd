-- Merges were still most of what events cost after their insert. With thirty parts at a time a row is written again a
-- third as often, and for some minutes not at all. A timeline over thirty small parts takes as long as over two, and
-- statistics a fifth longer. The feed stays at ten: its parts overlap, so a page over thirty took a third longer.
ALTER TABLE events MODIFY SETTING min_parts_to_merge_at_once = 30;
