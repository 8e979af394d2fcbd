"""The journal in Postgres: the only source of truth about messages and their deliveries."""
