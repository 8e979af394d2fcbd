"""What ``clickhouse.dsn`` names: checked when settings are read, used by analytics."""

from typing import Any
from urllib.parse import unquote, urlsplit

from cluster.policy.routes.host_names import is_host

DATABASE = "postray"
"""Where the tables are when the DSN names no database."""


def server_of(dsn: str) -> dict[str, Any]:
    """What clickhouse-connect must be told to reach the server of ``clickhouse(s)://user:password@host:port/database``.

    Raises ValueError, naming no secret, for anything else.
    """
    try:
        parts = urlsplit(dsn)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host = None, ""  # its error would quote what may be a part of the password
    if not is_host(host) or parts.scheme not in ("clickhouse", "clickhouses") or parts.query:
        raise ValueError("it is not clickhouse(s)://user:password@host:port/database")
    secure = parts.scheme == "clickhouses"
    return {
        "host": host,
        "port": port or (8443 if secure else 8123),
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.strip("/")) or DATABASE,
        "secure": secure,
    }
