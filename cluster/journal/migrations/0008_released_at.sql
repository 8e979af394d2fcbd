-- When a paused delivery that was not tried before was let go: its message is dated then, not when it was accepted.
ALTER TABLE deliveries ADD COLUMN released_at timestamptz;
