"""Old parts of a table: what a mutation or a merge replaces stays on disk for some minutes."""

from analytics.client import ClickHouse

SETTINGS = ("old_parts_lifetime = 0", "cleanup_delay_period = 1", "cleanup_delay_period_random_add = 0")


def delete_soon(client: ClickHouse, table: str) -> None:
    """Have the engine delete the old parts of a table within about a second. Its cleaning of a table sleeps for half a
    minute at a time, and begins anew where the table is attached."""
    client.command(f"ALTER TABLE {table} MODIFY SETTING {', '.join(SETTINGS)}")
    client.command(f"DETACH TABLE {table}")
    client.command(f"ATTACH TABLE {table}")
