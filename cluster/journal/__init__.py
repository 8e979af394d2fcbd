"""The journal: Postgres, the only truth about messages and their deliveries."""
