-- When what was in a batch was last cancelled by one call: none of it is retried after that.
ALTER TABLE batches ADD COLUMN cancelled_at timestamptz;
