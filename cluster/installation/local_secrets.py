"""Secrets in data_dir beside secret.key (vault.py): the demo tenant's API key, the password of the SQL door, and the
token for Ray's ports.

No data is encrypted with them, so a damaged one may be deleted, and the next ``postray up`` makes another. This is left
to the operator: a file with unexpected content deserves a look.
"""

import re
import secrets
from collections.abc import Callable
from pathlib import Path

from cluster.installation.private_files import Unsafe, create_whole, read_secret
from cluster.keys import is_key

DEMO_KEY = "demo.key"
RAY_TOKEN = "ray.token"
SQL_PASSWORD = "sql.password"
SQL_USER = "postray"
"""The operator's login to the SQL door."""
DELETE = "delete it, and the next postray up makes a new one"

_PASSWORD = re.compile(r"[0-9a-f]{32}", re.ASCII)
_TOKEN = re.compile(r"[0-9a-f]{64}", re.ASCII)


def demo_key(data_dir: Path) -> str | None:
    """The demo tenant's API key; None when it does not exist yet. Raises Unsafe when the file is unusable."""
    return _kept(data_dir / DEMO_KEY, is_key)


def ray_token(data_dir: Path) -> str | None:
    """The token for Ray's ports: access to them can run code. None when it does not exist yet. Raises Unsafe when the
    file is unusable."""
    return _kept(data_dir / RAY_TOKEN, _TOKEN.fullmatch)


def ensure_ray_token(data_dir: Path) -> Path:
    """The token's file, created if necessary. Raises Unsafe when it is unusable."""
    if ray_token(data_dir) is None:
        create_whole(data_dir / RAY_TOKEN, secrets.token_hex(32).encode())
    return data_dir / RAY_TOKEN


def sql_password(data_dir: Path) -> str | None:
    """The password of the operator's login to the SQL door, unless the settings have one; None when it does not exist
    yet. Raises Unsafe when the file is unusable."""
    return _kept(data_dir / SQL_PASSWORD, _PASSWORD.fullmatch)


def ensure_sql_password(data_dir: Path) -> str:
    """The same, made if necessary."""
    if sql_password(data_dir) is None:
        create_whole(data_dir / SQL_PASSWORD, secrets.token_hex(16).encode())
    password = sql_password(data_dir)
    assert password is not None
    return password


def _kept(path: Path, has_form: Callable[[str], object]) -> str | None:
    """The secret in a file; None when there is no file. Raises Unsafe when the file is unusable, or the secret has not
    the form that it is made in."""
    secret = read_secret(path, DELETE)
    if secret is not None and not has_form(secret):
        raise Unsafe(f"{path} is malformed: {DELETE}")
    return secret
