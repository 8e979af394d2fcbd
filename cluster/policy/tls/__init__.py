"""TLS: how secure a connection must be, according to MTA-STS, DANE and the settings."""
