"""TLS: how safe a connection has to be, by MTA-STS, DANE and settings."""
