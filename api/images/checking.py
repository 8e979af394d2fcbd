"""Checks uploads: each is decoded in a thread, a few at a time, within a bound on their memory. Tenants take turns."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from api.http import help_texts
from api.http.forms import FILE
from api.http.refusals import Fault, Invalid
from api.http.sharing import FairShare
from cluster.images.decoding import BYTES_A_PIXEL, ORIENTATION, Decoded, decode
from cluster.images.location import NOT_TAKEN_OUT, without_location
from cluster.images.outline import CONTENT_TYPES, NotAnImage, Outline, outline

THREADS = 2
MEMORY_MB = 200
"""Of all images that are being decoded."""
MAX_WAIT_S = 30.0
TOO_MANY = "Too many images at once; try again later"


class Checked(Struct, frozen=True, kw_only=True):
    """A file that is an image."""

    content: bytes
    content_type: str
    image: Decoded


class ImageChecks:
    """Proves that files are images."""

    def __init__(self) -> None:
        self._share = FairShare(MEMORY_MB, MEMORY_MB, MAX_WAIT_S, TOO_MANY)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="images")

    async def check(self, tenant_id: str, content: bytes, *, remove_location: bool) -> Checked:
        """The image, without what says where it was taken if that is asked for. Raises Invalid on ``file``, and
        Overloaded."""
        run = asyncio.get_running_loop().run_in_executor
        try:
            found = await run(self._threads, outline, content)
            async with self._share.hold(tenant_id, _megabytes(found)):
                image = await run(self._threads, decode, content, found)
                if remove_location:
                    content = await run(self._threads, _bare, content, found, image.orientation)
        except NotAnImage as error:
            raise Invalid([Fault(error.reason, FILE, help_texts.IMAGE)]) from error
        return Checked(content=content, content_type=CONTENT_TYPES[found.format], image=image)

    async def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _bare(content: bytes, found: Outline, orientation: int) -> bytes:
    """The file without what says where it was taken, proved anew: readers are more forgiving of a damaged structure
    than what takes it apart. Raises NotAnImage."""
    bare = without_location(content, found.format, orientation)
    image = decode(bare, outline(bare))
    if image.orientation != orientation or not image.tags <= {ORIENTATION}:
        raise NotAnImage(NOT_TAKEN_OUT)
    return bare


def _megabytes(found: Outline) -> int:
    # At least a thread's part: no more images are admitted than are decoded, so tenants take turns.
    return max(MEMORY_MB // THREADS, found.pixels * BYTES_A_PIXEL[found.format] // 1024**2)
