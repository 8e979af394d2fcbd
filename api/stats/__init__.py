"""/v3/stats and its kin: counts of a tenant's events by day, week or month."""
