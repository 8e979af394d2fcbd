"""Routes: the destination of a delivery, the hosts that serve it, and the actor that owns it."""
