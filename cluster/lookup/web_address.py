"""URLs of servers that the settings name. Pure."""

import ipaddress
import re
from urllib.parse import urlsplit

from msgspec import Struct


class WebAddress(Struct, frozen=True):
    """A URL, taken apart."""

    is_tls: bool
    host: str
    port: int
    target: str
    """Path and query."""

    @property
    def authority(self) -> str:
        """The value of the Host header (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def web_address(url: str) -> WebAddress:
    """Parse an https URL, or an http one on loopback. Raises ValueError: plain text over a network could be changed on
    its way."""
    parts = urlsplit(url)
    is_plain = re.fullmatch(r"[!-~]+", url) is not None and "@" not in parts.netloc
    if not is_plain or parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("it is no URL such as https://login.example.com/.well-known/jwks.json")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("must be https; http is for loopback only")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_tls = parts.scheme == "https"
    return WebAddress(is_tls, parts.hostname, parts.port or (443 if is_tls else 80), target)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
