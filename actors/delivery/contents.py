"""The delivery actor's cache of request contents: compiled if several messages share them, bounded by the memory that
they take.

Compiled content is many times as large as its source, and grows as messages are filled in: 79 bytes become 2 KB, and a
text that is all keys becomes fifty times as large. So its size is measured, not estimated. Measuring costs some tens of
microseconds, a fifth of compiling. Requests with one message, which come by the thousand, are not measured: of a
request that was seen once, the cache keeps only the encoded form, whose size is known. When a second message asks for
it, it is compiled and kept in that form.
"""

import gc
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from msgspec import Struct

from actors.compose.mime import compile_content
from actors.compose.skeleton import Skeleton
from actors.compose.templated import Version
from actors.compose.transform import SharedBy, Transform
from cluster.journal.records import Content, decode_content
from cluster.message.header_fields import NotComposable
from cluster.metrics import Gauge
from cluster.settings import DEFAULT_LIMITS, MessageSettings

MOST_BYTES = 64 * 1024 * 1024
"""Limit for both forms together. The content that was used last stays whatever its size: it is needed anyway, and the
size of a request is bounded."""
ENCODED_BYTES = 4 * 1024 * 1024
"""Limit for encoded contents, so that a flood of requests with one message evicts no compiled content. A request with
more messages is asked for again within moments, so some thousands of small ones are enough; of large ones, the last
stays."""
LARGE_BYTES = 256 * 1024
"""A message estimated to be larger is composed in a thread (large.py). Composing this much takes some milliseconds."""
ENTRY_BYTES = 600
"""Overhead of an entry in bytes: keys, links and object headers."""
MEASURED_EVERY = 16
"""Uses between two measurements, after the first few. The growth comes from texts split at further sets of keys."""
MEASURED_OBJECTS = 100_000
"""Objects visited at most, since a longer measurement would block the event loop. Content with more objects counts as
filling the whole cache."""

_NOT_OURS = (type, ModuleType, FunctionType, Version)
"""Not looked into when memory is measured. A version says itself how much it holds."""

TransformOf = Callable[[Content], Transform | None]
"""Gives the transform that a request's content asks for, or None (compose/transform.py)."""
Template = Version | NotComposable
"""The version of a template that a request's messages are rendered from, or why there is none."""


def untransformed(_content: Content) -> None:
    """No transform."""


class Compiled:
    """A request's content and its skeleton: ready to be filled in, or the reason why it cannot be composed. The
    skeleton of a large content is made when a delivery first needs it, in the thread that composes its messages."""

    __slots__ = (
        "_files",
        "_limits",
        "_skeleton",
        "_template",
        "content",
        "scope",
        "size",
        "transform",
        "version_bytes",
    )

    def __init__(
        self,
        content: Content,
        files: Mapping[bytes, bytes],
        limits: MessageSettings,
        transform: Transform | None,
        size: int,
        template: Template | None = None,
    ) -> None:
        """``files``: by their sha256. ``size``: bytes of the encoded content, of its files and of its template."""
        self.content = content
        self.size = size
        self.version_bytes = template.held_bytes if isinstance(template, Version) else 0
        """Memory of the version. It may have left the cache of templates, so it is counted here as well."""
        self._files = files
        self._template = template
        self._limits = limits
        self.transform = transform
        self.scope = SharedBy.REQUEST if transform is None else transform.scope
        """Whether a message's recipients share what is composed."""
        self._skeleton: Skeleton | NotComposable | None = None
        if not self.is_large:
            self._skeleton = _compile(content, files, limits, transform, template)

    @property
    def is_large(self) -> bool:
        """Whether compiling it may block the event loop for too long."""
        return self.size > LARGE_BYTES

    @property
    def is_ready(self) -> bool:
        """Whether the skeleton is made."""
        return self._skeleton is not None

    @property
    def skeleton(self) -> Skeleton | NotComposable:
        """The skeleton. That of a large content is made by the first call."""
        if self._skeleton is None:
            self._skeleton = _compile(self.content, self._files, self._limits, self.transform, self._template)
            self._files = {}  # the skeleton has them encoded
        return self._skeleton


class _Encoded(Struct, frozen=True):
    data: bytes
    files: Mapping[bytes, bytes]
    """By their sha256."""

    @property
    def size(self) -> int:
        return ENTRY_BYTES + len(self.data) + sum(map(len, self.files.values()))


class _Kept(Struct):
    compiled: Compiled
    size: int
    uses: int = 0


class Contents:
    """An LRU cache by request id. ``limits`` apply to composed messages. ``most_bytes`` and ``encoded_bytes``: see
    ``MOST_BYTES`` and ``ENCODED_BYTES``."""

    held = Gauge("postray_contents_bytes", "Memory of requests' contents at hand.", lambda contents: contents.size)

    def __init__(
        self,
        limits: MessageSettings = DEFAULT_LIMITS,
        transform_of: TransformOf = untransformed,
        *,
        most_bytes: int = MOST_BYTES,
        encoded_bytes: int = ENCODED_BYTES,
    ) -> None:
        self._limits = limits
        self._transform_of = transform_of
        self._most_bytes = most_bytes
        self._encoded_most = encoded_bytes
        self._encoded: OrderedDict[str, _Encoded] = OrderedDict()
        self._encoded_bytes = 0
        self._compiled: OrderedDict[str, _Kept] = OrderedDict()
        self._compiled_bytes = 0

    @property
    def size(self) -> int:
        """Bytes held, as last measured."""
        return self._encoded_bytes + self._compiled_bytes

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._compiled or request_id in self._encoded

    def get(self, request_id: str) -> Compiled | None:
        """The cached content, if it is cached compiled."""
        kept = self._compiled.get(request_id)
        if kept is None:
            return None
        self._compiled.move_to_end(request_id)
        return kept.compiled

    def encoded(self, request_id: str) -> tuple[bytes, Mapping[bytes, bytes]] | None:
        """The cached content and its files, if it is cached encoded. To be added again: another message needs it."""
        found = self._encoded.get(request_id)
        return (found.data, found.files) if found is not None else None

    def add(
        self,
        request_id: str,
        data: bytes,
        files: Mapping[bytes, bytes],
        template: Template | None = None,
        *,
        is_shared: bool,
    ) -> Compiled:
        """Compile and cache a content. ``template``: the version that it names, if it names one. ``is_shared``: more
        than one message is known to need it."""
        content = decode_content(data)
        encoded = _Encoded(data, files)
        size = encoded.size + (template.characters if isinstance(template, Version) else 0)
        compiled = Compiled(content, files, self._limits, self._transform_of(content), size, template)
        self._forget(request_id)
        if is_shared:
            kept = self._compiled[request_id] = _Kept(compiled, encoded.size + compiled.version_bytes)
            self._compiled_bytes += kept.size
        else:
            self._encoded[request_id] = encoded
            self._encoded_bytes += encoded.size
        self._make_room()
        return compiled

    def used(self, request_ids: Iterable[str]) -> None:
        """Messages of these requests were composed, which may have made the compiled contents larger."""
        for request_id in request_ids:
            kept = self._compiled.get(request_id)
            if kept is None:
                continue
            kept.uses += 1
            if kept.uses & (kept.uses - 1) == 0 or kept.uses % MEASURED_EVERY == 0:
                size = measured(kept.compiled, self._most_bytes) + kept.compiled.version_bytes
                self._compiled_bytes += size - kept.size
                kept.size = size
        self._make_room()

    def _forget(self, request_id: str) -> None:
        if (encoded := self._encoded.pop(request_id, None)) is not None:
            self._encoded_bytes -= encoded.size
        if (kept := self._compiled.pop(request_id, None)) is not None:
            self._compiled_bytes -= kept.size

    def _make_room(self) -> None:
        while self._encoded_bytes > self._encoded_most and len(self._encoded) > 1:
            self._forget(next(iter(self._encoded)))
        while self.size > self._most_bytes and len(self._compiled) > 1:
            self._forget(next(iter(self._compiled)))


def measured(compiled: Compiled, most: int) -> int:
    """Bytes of memory that it holds, with all objects that it refers to; at least ``most`` if these are more than
    ``MEASURED_OBJECTS``."""
    visited = 0
    size = 0
    for level in _levels(compiled):
        visited += len(level)
        if visited > MEASURED_OBJECTS:
            return max(most, size)
        size += sum(map(sys.getsizeof, level))
    return size


def _levels(root: Any) -> Iterator[list[Any]]:
    """The objects reachable from ``root``, each once, the nearest first."""
    seen = {id(root)}
    level = [root]
    while level:
        yield level
        found = {id(one): one for one in _referents(level)}
        level = [one for key, one in found.items() if key not in seen and not isinstance(one, _NOT_OURS)]
        seen |= found.keys()


def _referents(objects: Sequence[Any]) -> Iterator[Any]:
    """What these objects refer to. The garbage collector knows it for every type but those that it leaves alone."""
    yield from gc.get_referents(*objects)
    for one in objects:
        if isinstance(one, Struct) and not one.__struct_config__.gc:
            yield from (getattr(one, field) for field in one.__struct_fields__)


def _compile(
    content: Content,
    files: Mapping[bytes, bytes],
    limits: MessageSettings,
    transform: Transform | None,
    template: Template | None,
) -> Skeleton | NotComposable:
    if isinstance(template, NotComposable):
        return template
    try:
        return compile_content(content, files, limits, transform, template)
    except NotComposable as fault:
        return fault
