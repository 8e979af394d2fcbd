"""What ``clickhouse.dsn`` names: checked when settings are read, used by analytics."""

from typing import Any
from urllib.parse import unquote, urlsplit

DATABASE = "postray"
"""Where the tables are when the DSN names no database."""


def server_of(dsn: str) -> dict[str, Any]:
    """What clickhouse-connect must be told to reach the server of ``clickhouse(s)://user:password@host:port/database``.

    Raises ValueError, naming no secret, for anything else.
    """
    parts = urlsplit(dsn)
    try:
        port = parts.port
    except ValueError:
        port = None
        parts = parts._replace(netloc="")  # its error would quote what may be a part of the password
    if parts.scheme not in ("clickhouse", "clickhouses") or not parts.hostname or parts.query:
        raise ValueError("it is not clickhouse(s)://user:password@host:port/database")
    secure = parts.scheme == "clickhouses"
    return {
        "host": parts.hostname,
        "port": port or (8443 if secure else 8123),
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.strip("/")) or DATABASE,
        "secure": secure,
    }
