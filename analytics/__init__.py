"""Events, and their projection into ClickHouse."""
