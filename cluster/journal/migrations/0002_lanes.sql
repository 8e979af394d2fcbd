-- A delivery whose site has no room is parked in its lane (destination, tenant) until the owner takes it from there;
-- so what waits for a full site never stands before what waits for another. due_at is then its expiry.
ALTER TABLE deliveries ADD COLUMN lane text COLLATE "C";
CREATE INDEX deliveries_parked ON deliveries (lane, tenant_id, message_id) WHERE lane IS NOT NULL;

-- The members that an actor has made way for (policy/ownership.py), and whether it is to leave.
ALTER TABLE delivery_actors ADD COLUMN ring text NOT NULL DEFAULT '';
ALTER TABLE delivery_actors ADD COLUMN draining boolean NOT NULL DEFAULT false;
