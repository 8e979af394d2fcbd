"""What a recipient can do with tracked mail: fetch its pixel, follow its links, unsubscribe with one click. Pure."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from msgspec import Struct

_UNSUBSCRIBE = re.compile(r"<https?://[^/\s>]+(/t/u/[\w-]+)>")
_PIXEL = re.compile(r"https?://[^/\s\"'<>]+(/t/o/[\w-]+\.gif)")
_CLICK = re.compile(r"https?://[^/\s\"'<>]+(/t/c/[\w-]+)")


class TrackedLinks(Struct, frozen=True, kw_only=True):
    """Paths of URLs in one copy of a message; empty where it has none."""

    pixel: str = ""
    clicks: tuple[str, ...] = ()
    unsubscribe: str = ""
    """What a mail program posts to (RFC 8058)."""


def tracked_links(content: bytes) -> TrackedLinks | None:
    """The tracked URLs of a message (RFC 5322); None where it has none."""
    message = message_from_bytes(content, EmailMessage, policy=default)
    html = message.get_body(("html",))
    text = html.get_content() if html is not None else ""
    unsubscribe = _UNSUBSCRIBE.search(str(message.get("List-Unsubscribe", "")))
    pixel = _PIXEL.search(text)
    found = TrackedLinks(
        pixel=pixel[1] if pixel else "",
        clicks=tuple(_CLICK.findall(text)),
        unsubscribe=unsubscribe[1] if unsubscribe else "",
    )
    return None if found == TrackedLinks() else found
