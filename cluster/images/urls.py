"""The images of the library that html shows, and what becomes of their URLs where images are embedded. Pure. RFC 2392.

Only where html shows an image: a link to one stays a link, and what stands in a comment stays as it is, but for the
conditional comments of Outlook. Values of attributes are read as html writes them, with entities. A URL must be whole,
so one that a template or a substitution goes on with is no URL of an image.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from html import unescape
from urllib.parse import urlsplit

from msgspec import Struct

PATH = "/i/"
_MARKS = ("img_", "&#", "&lowbar;")
"""One of them stands in every URL of an image: its id begins so, perhaps with entities."""
_LONGEST = 2000
"""Characters of a URL, as html writes it."""
_QUOTE = r"""(?:["']|&quot;|&apos;|&\#0*3[49];|&\#x0*2[27];)"""
_PLACE = re.compile(
    rf"""
    <!--(?:-?>|(?!\[if\b).*?(?:-->|\Z))
    | (?P<set>(?<![\w-])srcset\s*=\s*["'])(?P<candidates>[^"'<>]*+)
    | (?P<attribute>(?<![\w-])(?:src(?:set)?|background)\s*=\s*(?:(?P<quote>["'])\s*)?)
      (?P<value>[^\s"'<>]*+)(?P<is_value>(?(quote)(?=\s*(?P=quote))|(?=[\s>]|\Z)))?
    | (?P<style>\burl\(\s*(?:{_QUOTE}\s*)?)
      (?P<target>(?:[^\s"'<>()&]|(?!{_QUOTE})&)*+)(?P<is_target>(?=\s*(?:{_QUOTE}|\))))?
    """,
    re.IGNORECASE | re.ASCII | re.DOTALL | re.VERBOSE,
)
"""Each alternative takes what it began with, whether it is a URL or not: so the time is proportional to the html's
length."""
_CANDIDATE = re.compile(r"(?<![^\s,])[^\s,]+(?=,?\s|,?\Z)")
"""A URL in a srcset; what describes it (``2x``) is none."""
_URL = re.compile(
    r"""https?://(?P<host>\[[0-9a-f:.]+\]|[^\s"'<>?\#\\{}()/@:\[\]]+)(?::[0-9]+)?(?:/[^\s"'<>?\#\\{}()]{1,300}?)?"""
    r"""/i/(?P<id>(?-i:img_[0-9A-HJKMNP-TV-Z]{26}))(?:\?(?P<query>[^\s"'<>(){}]*))?""",
    re.IGNORECASE | re.ASCII,
)
_THUMBNAIL = re.compile(r"(?:^|&)variant=thumbnail(?:&|\Z)")

IsOwn = Callable[[str], bool]
"""Whether a host, in lower case, serves the tenant's images."""


class Shown(Struct, frozen=True, order=True):
    """An image, or its thumbnail, as html shows it."""

    id: str
    is_thumbnail: bool

    @property
    def content_id(self) -> str:
        """What embeds it has this content_id: always the same, so that equal html stays equal."""
        return f"{self.id}{'.thumbnail' if self.is_thumbnail else ''}@images.postray"


def may_show(text: str | bytes) -> bool:
    """Whether html may show an image; quick, and false for most."""
    if isinstance(text, bytes):
        return any(mark.encode() in text for mark in _MARKS)
    return any(mark in text for mark in _MARKS)


def own_hosts(link_hosts: Iterable[str], base_url: str) -> IsOwn:
    """``link_hosts``: the tenant's own. ``base_url``: that of the installation. One that listens on all addresses and
    has no public URL has no name of its own, so every host may be it."""
    host = urlsplit(base_url).hostname or ""
    hosts = {*link_hosts, host}
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        is_loopback = host == "localhost"
    else:
        is_loopback = address.is_loopback
        if address.is_unspecified:
            return lambda _: True
    if is_loopback:
        hosts |= {"localhost", "127.0.0.1", "::1"}
    return hosts.__contains__


def shown_in(html: str, is_own: IsOwn) -> Iterable[Shown]:
    """The images, each once, in the order of their first places."""
    return dict.fromkeys([shown for _, _, shown in images_in(html, is_own)])


def embedded(html: str, is_own: IsOwn, is_embedded: Callable[[Shown], bool]) -> str:
    """The html with ``cid:`` URLs in the places of the images for which that holds."""
    pieces: list[str] = []
    done = 0
    for start, end, shown in images_in(html, is_own):
        if is_embedded(shown):
            pieces += (html[done:start], f"cid:{shown.content_id}")
            done = end
    return "".join((*pieces, html[done:])) if pieces else html


def images_in(html: str, is_own: IsOwn) -> Iterator[tuple[int, int, Shown]]:
    """Where the URL of an image begins and ends, and which it is; in order."""
    if not may_show(html):
        return
    for place in _PLACE.finditer(html):
        for start, end in _urls(place):
            if (shown := _shown(html[start:end], is_own)) is not None:
                yield start, end, shown


def _urls(place: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The spans of what may be URLs."""
    if place["set"]:
        begin = place.start("candidates")
        for one in _CANDIDATE.finditer(place["candidates"]):
            yield begin + one.start(), begin + one.end()
    elif place["is_value"] is not None:
        yield place.span("value")
    elif place["is_target"] is not None:
        yield place.span("target")


def _shown(url: str, is_own: IsOwn) -> Shown | None:
    """``url`` is as html writes it."""
    if len(url) > _LONGEST or not may_show(url) or (found := _URL.fullmatch(unescape(url))) is None:
        return None
    if not is_own(found["host"].lower().strip("[]")):
        return None
    return Shown(found["id"], bool(found["query"] and _THUMBNAIL.search(found["query"])))
