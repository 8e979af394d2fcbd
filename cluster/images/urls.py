"""The images of the library that html shows, and what becomes of their URLs where images are embedded. Pure. RFC 2392.

Only where html shows an image: a link to one stays a link. What follows the URL must end it, so one that a template or
a substitution goes on with is no URL of an image.
"""

import re
from collections.abc import Callable, Iterable

from msgspec import Struct

PATH = "/i/"
_PLACE = re.compile(
    r"""((?<![\w-])(?:src|background)\s*=\s*["']?|\burl\(\s*(?:["']|&quot;|&\#39;)?)"""
    r"""https?://[^\s"'<>?\#\\{}()]{1,300}?/i/(img_[0-9A-HJKMNP-TV-Z]{26})(?:\?((?:&amp;|[^\s"'<>()&{}])*))?"""
    r"""(?=["'<>)\s]|&quot;|&\#39;|\Z)""",
    re.IGNORECASE | re.ASCII,
)
_THUMBNAIL = re.compile(r"(?:^|&|&amp;)variant=thumbnail(?:&|\Z)")


class Shown(Struct, frozen=True, order=True):
    """An image, or its thumbnail, as html shows it."""

    id: str
    is_thumbnail: bool

    @property
    def content_id(self) -> str:
        """What embeds it has this content_id: always the same, so that equal html stays equal."""
        return f"{self.id}{'.thumbnail' if self.is_thumbnail else ''}@images.postray"


def shown_in(html: str) -> Iterable[Shown]:
    """The images, each once, in the order of their first places."""
    if f"{PATH}img_" not in html:
        return ()
    return dict.fromkeys(_shown(place) for place in _PLACE.finditer(html))


def embedded(html: str, is_embedded: Callable[[Shown], bool]) -> str:
    """The html with ``cid:`` URLs in the places of the images for which that holds."""

    def changed(place: re.Match[str]) -> str:
        shown = _shown(place)
        return f"{place[1]}cid:{shown.content_id}" if is_embedded(shown) else place[0]

    return _PLACE.sub(changed, html)


def _shown(place: re.Match[str]) -> Shown:
    return Shown(place[2], bool(place[3] and _THUMBNAIL.search(place[3])))
