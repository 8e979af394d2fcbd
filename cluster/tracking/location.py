"""The value of a Location header that leads to the target of a link. Pure.

A target is what stood in ``href``, so it is read as browsers read that (https://url.spec.whatwg.org/#url-parsing):
line breaks and tabs are dropped, other characters that a URL cannot have are percent-encoded as UTF-8, and the domain
becomes A-labels. What the target has percent-encoded stays as it is.
"""

import re
from urllib.parse import quote

from cluster.policy.routes.domains import a_labels

_AUTHORITY = re.compile(r"(https?://)([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
_SAFE = "".join(map(chr, range(0x21, 0x7F)))
"""All of ASCII that is visible: what it means to the target's server is the sender's business."""
_DROPPED = str.maketrans("", "", "\t\r\n")


def location(url: str) -> bytes:
    """ASCII without control characters and spaces. ``url``: absolute, http or https."""
    if url.isascii() and url.isprintable() and " " not in url:
        return url.encode()
    whole = _AUTHORITY.fullmatch(url.translate(_DROPPED).strip())
    if whole is None:
        raise ValueError(f"{url[:100]!r} is no http(s) URL")
    scheme, authority, rest = whole.groups()
    if not authority.isascii():
        user, at, host = authority.rpartition("@")
        name, colon, port = host.partition(":")
        # A name that has no A-labels is percent-encoded below, and leads nowhere.
        authority = f"{user}{at}{a_labels(name) or name}{colon}{port}"
    return f"{scheme}{quote(authority, safe=_SAFE)}{quote(rest, safe=_SAFE)}".encode()
