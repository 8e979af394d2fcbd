"""The images that this process serves, by id: a bounded cache in memory over the journal.

An image's bytes never change. Whether it was deleted is asked again once what is known is ``FRESH_S`` old, so a
deletion holds on every node within that time; while the journal is away, what is held is served on.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from cluster.ids import is_id
from cluster.intake.backpressure import Overloaded
from cluster.journal.images import PublicImage
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.time_limit import TimeLimit
from cluster.lookup.semaphore import Semaphore
from cluster.metrics import Counter
from cluster.shared_calls import SharedCalls

log = logging.getLogger(__name__)

FRESH_S = 2.0
KEPT_BYTES = 64 * 1024 * 1024
OVERHEAD_BYTES = 2048
"""What an entry takes besides its content."""
LOADING = 2
"""Look-ups in the journal at a time: anybody may ask for images, and other requests need its connections too."""
MOST_WAITING = 200
"""Images that wait for their look-up."""

Key = tuple[str, bool]
"""The image's id, and whether its thumbnail is meant."""


class Served(Struct, kw_only=True):
    """An image, or a thumbnail of one, as it is answered."""

    content: bytes
    etag: bytes
    headers: list[tuple[bytes, bytes]]
    """Of a whole answer."""
    looked_at: float
    """When it was last known to exist."""


class Gone(Struct, frozen=True):
    """The image was deleted."""


class ImageCache:
    """Finds images by id. ``get`` is for what is held and fresh, ``load`` for the rest."""

    loads = Counter("postray_image_loads_total", "Images read from the journal to be served.")

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._kept: OrderedDict[Key, Served] = OrderedDict()
        self._bytes = 0
        self._loading: SharedCalls[Key, Served | Gone | None] = SharedCalls(self._keep)
        self._permits = Semaphore(LOADING)
        self._limit = TimeLimit()
        self.loads = 0

    def get(self, key: Key) -> Served | None:
        """What is held, if it is fresh."""
        held = self._kept.get(key)
        if held is None or self._clock() - held.looked_at > FRESH_S:
            return None
        self._kept.move_to_end(key)
        return held

    async def load(self, key: Key) -> Served | Gone | None:
        """The image from the journal; None when there is none. Raises Overloaded, and Unavailable unless it is
        held."""
        if not is_id("img_", key[0]):
            return None
        if key not in self._loading and len(self._loading) >= MOST_WAITING:
            raise Overloaded("Too many images are asked for at once; try again later")
        return await self._loading.get(key, self._load)

    def forget(self, id: str) -> None:
        """The image was deleted here."""
        for key in ((id, False), (id, True)):
            self._drop(key)
            self._loading.forget(key)

    async def _load(self, key: Key) -> Served | Gone | None:
        try:
            return await self._limit.result(self._look(key))
        except Unavailable as error:
            if (held := self._kept.get(key)) is None:
                raise
            log.warning("image served from the cache id=%s reason=%r", key[0], error.reason)
            held.looked_at = self._clock()
            return held

    async def _look(self, key: Key) -> Served | Gone | None:
        async with self._permits:
            return await self._found(key)

    async def _found(self, key: Key) -> Served | Gone | None:
        now = self._clock()
        image = await self._journal.images.public(key[0])
        if image is None:
            return None
        if image.is_deleted:
            return Gone()
        if (held := self._kept.get(key)) is not None:
            held.looked_at = now
            return held
        content_type, sha = _variant(image, key[1])
        content = await self._journal.images.content(image.tenant_id, sha)
        if content is None:
            return Gone()  # deleted between the two look-ups
        self.loads += 1
        return _served(content, content_type, sha, now)

    def _keep(self, key: Key, found: Served | Gone | None) -> None:
        self._drop(key)
        if not isinstance(found, Served):
            return
        self._kept[key] = found
        self._bytes += len(found.content) + OVERHEAD_BYTES
        while self._bytes > KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        if (held := self._kept.pop(key, None)) is not None:
            self._bytes -= len(held.content) + OVERHEAD_BYTES


def _variant(image: PublicImage, thumbnail: bool) -> tuple[str, bytes]:
    """Its content type and the SHA-256 of its content."""
    return (image.thumbnail_type, image.thumbnail) if thumbnail else (image.content_type, image.file)


def _served(content: bytes, content_type: str, sha: bytes, now: float) -> Served:
    etag = b'"%b"' % sha.hex()[:32].encode()
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(content)),
        (b"etag", etag),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"accept-ranges", b"bytes"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
        (b"cross-origin-resource-policy", b"cross-origin"),  # mail clients on the web show it in their own pages
    ]
    return Served(content=content, etag=etag, headers=headers, looked_at=now)
