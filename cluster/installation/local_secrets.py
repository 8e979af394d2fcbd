"""Secrets in data_dir beside secret.key (vault.py): the demo tenant's API key, and the token that Ray's ports ask for.

Nothing was sealed with them, so one that is damaged may be deleted, and the next ``postray up`` makes another. That is
left to the operator: a file that is not as postray wrote it deserves a look.
"""

import re
import secrets
from pathlib import Path

from cluster.installation.private_files import Unsafe, create_whole, read_secret
from cluster.keys import is_key

DEMO_KEY = "demo.key"
RAY_TOKEN = "ray.token"
DELETE = "delete it, and the next postray up makes a new one"

_TOKEN = re.compile(r"[0-9a-f]{64}", re.ASCII)


def demo_key(data_dir: Path) -> str | None:
    """The demo tenant's API key; None when none was made yet. Raises Unsafe."""
    path = data_dir / DEMO_KEY
    key = read_secret(path, DELETE)
    if key is not None and not is_key(key):
        raise Unsafe(f"{path} is malformed: {DELETE}")
    return key


def ray_token(data_dir: Path) -> str | None:
    """What Ray's ports ask for: who can talk to them can run code. None when none was made yet. Raises Unsafe."""
    path = data_dir / RAY_TOKEN
    token = read_secret(path, DELETE)
    if token is not None and not _TOKEN.fullmatch(token):
        raise Unsafe(f"{path} is malformed: {DELETE}")
    return token


def ensure_ray_token(data_dir: Path) -> Path:
    """The token's file, made if need be. Raises Unsafe."""
    if ray_token(data_dir) is None:
        create_whole(data_dir / RAY_TOKEN, secrets.token_hex(32).encode())
    return data_dir / RAY_TOKEN
