-- The route that an operator has moved a delivery to, by name (policy/rerouting.py); "": as the routing in force says.
ALTER TABLE deliveries ADD COLUMN route text COLLATE "C" NOT NULL DEFAULT '';
