-- A part up to this size, a million events, keeps its columns in one file, not each in a file of its own. A message's
-- timeline reads most columns of one granule, and opening and unpacking a file for each, in every part that has events
-- of the message, was almost half of what it cost.
-- Such a part takes a third more disk, and statistics over it a third more time: larger parts, where most events of a
-- large installation end, stay as they were. Parts that exist stay as they are until they are merged.
ALTER TABLE events MODIFY SETTING min_bytes_for_wide_part = 268435456;
