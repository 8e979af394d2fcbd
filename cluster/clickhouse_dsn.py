"""Parses ``clickhouse.dsn``: the settings check uses it for validation, analytics to connect."""

from typing import Any
from urllib.parse import unquote, urlsplit

from cluster.policy.routes.host_names import is_host

DATABASE = "postray"
"""The database of the tables when the DSN names none."""


def server_of(dsn: str) -> dict[str, Any]:
    """The arguments of clickhouse-connect for ``clickhouse(s)://user:password@host:port/database``.

    Raises ValueError for any other text; its message contains no secret.
    """
    try:
        parts = urlsplit(dsn)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host = None, ""  # the error's text could quote a part of the password
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
