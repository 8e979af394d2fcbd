"""The targets of links: which are tracked, and the parameters that are added to them. Pure."""

import re
from urllib.parse import quote, unquote_plus

from cluster.tracking.choices import Analytics
from cluster.tracking.tokens import LONGEST_TARGET

_WITH_HOST = re.compile(
    r"https?://(?:[^/?#\\]*@)?(?:\[[0-9a-f:.]+\]|[^\x00-\x20/:<>?#@\[\\\]^|\x7f]+)(?::[0-9]{0,5})?(?=[/?#\\]|\Z)",
    re.IGNORECASE | re.ASCII,
)
"""As browsers take it: with these characters in a host, or with another port, it is no URL, and leads nowhere
(https://url.spec.whatwg.org/#forbidden-domain-code-point)."""


def is_target(url: str) -> bool:
    """Whether it is a whole URL of the web, as a token can name it."""
    if _WITH_HOST.match(url) is None or "\0" in url:
        return False
    return len(url) <= LONGEST_TARGET and (url.isascii() or len(url.encode()) <= LONGEST_TARGET)


def has_host(beginning: str) -> bool:
    """Whether each URL that begins so is a whole URL of the web, its length aside."""
    host = _WITH_HOST.match(beginning)
    return host is not None and host.end() < len(beginning)


def names_in(url: str) -> list[str]:
    """The names of a URL's parameters, as they are written."""
    query = url.partition("#")[0].partition("?")[2]
    return [pair.partition("=")[0] for pair in query.split("&")] if query else []


def with_analytics(url: str, analytics: Analytics) -> str:
    """The URL with the parameters of Google Analytics that it has not, before its fragment."""
    head, hash_, fragment = url.partition("#")
    path, mark, query = head.partition("?")
    present = {unquote_plus(name).lower() for name in names_in(url)}
    added = [
        f"{name}={quote(value, safe='')}"
        for name in Analytics.__struct_fields__
        if (value := getattr(analytics, name)) and name not in present
    ]
    if not added:
        return url
    gap = "" if not query or query.endswith("&") else "&"
    return f"{path}{mark or '?'}{query}{gap}{'&'.join(added)}{hash_}{fragment}"
