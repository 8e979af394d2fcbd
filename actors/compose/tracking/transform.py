"""The transform of tracked mail: it changes links, adds pixel and unsubscribe text, and puts URLs where tags are.

A text is read once for all messages of a request, or of a template's version for each request; the edits are applied in
one pass, so that everything else stays byte for byte. In a text with holes the character NUL stands for each hole while
it is read.
"""

from collections.abc import Iterator, Sequence, Set
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from actors.compose.holed import Key
from actors.compose.tracking import html, plain
from actors.compose.tracking.copies import Copies
from actors.compose.tracking.fields import Fields, UnsubscribeFields
from actors.compose.tracking.html import HOLE
from actors.compose.tracking.places import (
    Change,
    FilledLink,
    FilledText,
    FilledTexts,
    LinkMaker,
    PixelAtEnd,
    TokenPlace,
)
from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.tracking.tags import Marks, ending, marks, own_preferences, tags_in
from actors.compose.transform import Addressee, Hole, Place, SharedBy, Text
from cluster.images.urls import images_in, own_hosts
from cluster.joining import joined
from cluster.tracking.choices import Tracking, UnsubscribeText
from cluster.tracking.tokens import Preferences, TokenKey, open_suffix, unsubscribe_suffix

HTML, AMP, PLAIN = "text/html", "text/x-amp-html", "text/plain"
PIXEL_STYLE = (
    'width="1" height="1" alt="" border="0" '
    'style="position:absolute;display:block;width:1px;height:1px;border:0;margin:0;padding:0">'
)
"""Absolute, because it may stand in a table cell or a flex box that the text leaves open: it takes no place there."""
USUAL_TEXT = "Unsubscribe: <% %>"
USUAL_HTML = '<p style="font-size:small"><% Unsubscribe %></p>'

Piece = str | Place


class Edit(Struct, frozen=True):
    """A span of a text, and what takes its place. A hole within it is gone."""

    start: int
    end: int
    pieces: tuple[Piece, ...]


class Read(Struct, frozen=True):
    """A text that was read, and the edits of its tags, links and images."""

    found: html.Found
    edits: list[Edit]
    links: int
    """How many it has, but for those in holes."""
    has_subscription_tag: bool
    has_open_tag: bool


class TrackingTransform:
    """Changes the texts of one request's messages as its ``Tracking`` says."""

    def __init__(self, tracking: Tracking, key: TokenKey) -> None:
        self._tracking = tracking
        base = tracking.base_url
        self._tokens = TokensOfRecipients(key, tracking.tenant_number)
        self._links = LinkMaker(
            f"{base}/t/c/",
            (f"{base}/t/", f"{base}/i/"),
            self._tokens,
            tracking,
            self._with_tags,
        )
        tags = marks(tracking)
        self._tags = Marks(tags)
        self._open_tag = tracking.open_tag if tracking.opens else ""
        self._pixel = TokenPlace(f'<img src="{base}/t/o/', open_suffix(), self._tokens, f'.gif" {PIXEL_STYLE}')
        self._marks = Marks(("://", "&#", *tags, *filter(None, [self._open_tag])))
        self._is_own_image = own_hosts((), base)
        self._fields = UnsubscribeFields(tracking, self._tokens) if tracking.has_unsubscribe else None
        is_for_each = tracking.opens or tracking.clicks or tracking.has_unsubscribe
        self.scope = SharedBy.RECIPIENT if is_for_each else SharedBy.REQUEST

    def fields(self, addressee: Addressee) -> Fields:
        """The header fields by which this recipient unsubscribes."""
        return self._fields.of(addressee) if self._fields is not None else ()

    def change(self, text: Text) -> Text | None:
        """The changed text. None where holes may hide links that only the whole text shows, and where a message's
        values decide what all recipients share."""
        kind = text.type.lower()
        if kind not in (HTML, AMP, PLAIN):
            return text
        keys = text.keys
        if keys and self.scope is SharedBy.REQUEST:
            return None
        whole = HOLE.join(text.literals)
        read = self._read(whole, kind, keys)
        if keys and read.found.is_odd:
            return None
        edits = [*read.edits, *self._ends(whole, kind, read, keys)]
        change = partial(self._changed_value, kind=kind)
        edits += self._holes(whole, keys, edits, read.found.text_holes, read.links, change)
        changed = _applied(text, whole, keys, edits)
        if len(changed.keys) == len(changed.holes):
            return changed
        copies = Copies(changed.holes, self._tokens, self._marks, self._tags)
        return replace(changed, fill=copies.fill, words=copies.words)

    # Edits of a text

    def _read(self, whole: str, kind: str, keys: Sequence[Key] = (), number: int = 0) -> Read:
        """``number``: of the first link."""
        tracking = self._tracking
        changes_links = tracking.changes_text_links if kind == PLAIN else tracking.changes_links
        found = plain.scan(whole, with_links=changes_links) if kind == PLAIN else html.scan(whole)
        tags = tags_in(whole, tracking)
        edits = [
            Edit(tag.start, tag.end, self._tag(tag.preferences, is_raw=tag.is_raw or kind != HTML)) for tag in tags
        ]
        taken = [(tag.start, tag.end) for tag in tags]
        links = 0
        for link in found.links if changes_links else ():
            if not _overlaps(taken, link.start, link.end):
                edits += self._link(whole, link.start, link.end, keys, number + links, is_html=kind != PLAIN)
                links += 1
        edits += [Edit(start, end, ()) for start, end in found.untracked]
        opens = []
        if kind == HTML:
            edits += self._images(whole)
            opens = [Edit(start, end, (self._pixel,)) for start, end in _places(self._open_tag, whole)]
        return Read(found, [*edits, *opens], links, any(tag.is_subscription for tag in tags), bool(opens))

    def _link(
        self, whole: str, start: int, end: int, keys: Sequence[Key], number: int, *, is_html: bool
    ) -> Iterator[Edit]:
        value = whole[start:end]
        if HOLE in value:
            first = whole.count(HOLE, 0, start)
            own = keys[first : first + value.count(HOLE)]
            link = FilledLink(
                tuple(value.split(HOLE)), tuple(own), number, self._links, whole[start - 1] if is_html else None
            )
            yield Edit(start, end, (link,))
            return
        made = self._links.of(html.url_of(value) if is_html else value, number, is_html=is_html)
        if isinstance(made, str):
            yield Edit(start, end, (html.escaped(made) if is_html else made,))
        elif made is not None:
            yield Edit(start, end, (TokenPlace(self._links.beginning, made, self._tokens),))

    def _ends(self, whole: str, kind: str, read: Read, keys: Sequence[Key]) -> Iterator[Edit]:
        """The unsubscribe text, and behind it the pixel. ``keys``: of all holes."""
        tracking = self._tracking
        if kind == AMP:
            return
        pieces: list[Piece] = []
        if tracking.subscription is not None and not read.has_subscription_tag:
            pieces += self._subscription(tracking.subscription, whole, kind)
        if kind == HTML and tracking.opens and not read.has_open_tag:
            in_text = [keys[index] for index, at in enumerate(plain.indices(whole)) if at in read.found.text_holes]
            pieces.append(PixelAtEnd(self._pixel, self._open_tag, tuple(in_text)) if self._open_tag else self._pixel)
        if pieces:
            yield Edit(read.found.body_end, read.found.body_end, tuple(pieces))

    def _images(self, whole: str) -> Iterator[Edit]:
        """The token that makes the fetch of a library image an open, at the end of its URL."""
        if not self._tracking.opens or "/i/" not in whole:
            return
        for start, end, _ in images_in(whole, self._is_own_image):
            mark = "&amp;m=" if "?" in whole[start:end] else "?m="
            yield Edit(end, end, (TokenPlace(mark, open_suffix(), self._tokens),))

    def _holes(
        self,
        whole: str,
        keys: Sequence[Key],
        edits: Sequence[Edit],
        places: Set[int],
        number: int,
        change: Change,
    ) -> Iterator[Edit]:
        """The holes in text, whose values may hold links of their own."""
        taken = [(edit.start, edit.end) for edit in edits if edit.start < edit.end]
        found = [
            (at, keys[index])
            for index, at in enumerate(plain.indices(whole))
            if at in places and not _overlaps(taken, at, at + 1)
        ]
        growth = self._pixel.growth.fixed / len(self._open_tag) if self._open_tag else 0
        texts = FilledTexts([key for _, key in found], number, change, growth)
        for index, (at, _) in enumerate(found):
            yield Edit(at, at + 1, (FilledText(texts, index),))

    def _changed_value(self, value: str, number: int, addressee: Addressee, *, kind: str) -> tuple[str, int]:
        """The value of a hole for a recipient, and the number of its links. ``number``: of the first of them."""
        if not self._marks.may_be_in(value):
            return value, 0  # as most: values are names and numbers
        read = self._read(value, kind, number=number)
        return _filled(value, read.edits, addressee), read.links

    def _with_tags(self, value: str, addressee: Addressee) -> str:
        if not self._tags.may_be_in(value):
            return value
        tags = tags_in(value, self._tracking)
        return _filled(
            value, [Edit(tag.start, tag.end, (self._unsubscribe(tag.preferences),)) for tag in tags], addressee
        )

    # Pieces

    def _unsubscribe(self, preferences: Preferences) -> TokenPlace:
        return TokenPlace(f"{self._tracking.base_url}/t/u/", unsubscribe_suffix(preferences), self._tokens)

    def _tag(self, preferences: Preferences, *, is_raw: bool) -> tuple[Piece, ...]:
        url = self._unsubscribe(preferences)
        return (url,) if is_raw else ('<a href="', url, '">Unsubscribe</a>')

    def _subscription(self, said: UnsubscribeText, whole: str, kind: str) -> Iterator[Piece]:
        """The text of subscription tracking, its URL between the pieces."""
        if kind == PLAIN:
            yield "\n\n" if whole and not whole.endswith("\n") else "\n" if whole else ""
            first, *others = ending(said.text or USUAL_TEXT, is_html=False)
        else:
            first, *others = ending(said.html or USUAL_HTML, is_html=True)
        url = self._unsubscribe(own_preferences(self._tracking))
        yield first
        for piece in others:
            yield url
            yield piece


def tracking_transform(tracking: Tracking | None, key: TokenKey, types: Sequence[str]) -> TrackingTransform | None:
    """The transform of a request's messages; None where nothing of them would change. ``types``: those of its parts;
    empty where a template has them."""
    if tracking is None:
        return None
    if types and not tracking.has_unsubscribe:
        kinds = {one.lower() for one in types}
        if not (kinds & {HTML, AMP} or (PLAIN in kinds and tracking.changes_text_links)):
            return None
    return TrackingTransform(tracking, key)


def _applied(text: Text, whole: str, keys: Sequence[Key], edits: Sequence[Edit]) -> Text:
    """The text with its edits. Holes that no edit covers stay."""
    literals, holes = [""], list[Hole]()
    done = count = 0

    def keep(piece: str) -> None:
        nonlocal count
        first, *others = piece.split(HOLE) if keys else (piece,)
        literals[-1] += first
        for other in others:
            holes.append(keys[count])
            literals.append(other)
            count += 1

    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < done:
            continue  # within another edit
        keep(whole[done : edit.start])
        if keys:
            count += whole.count(HOLE, edit.start, edit.end)
        for piece in edit.pieces:
            if isinstance(piece, str):
                literals[-1] += piece
            else:
                holes.append(piece)
                literals.append("")
        done = edit.end
    keep(whole[done:])
    return Text(text.type, tuple(literals), tuple(holes))


def _filled(value: str, edits: Sequence[Edit], addressee: Addressee) -> str:
    """The value of a hole with its edits, for a recipient."""
    text = _applied(Text(PLAIN, (value,)), value, (), edits)
    return joined(text.literals, text.filled(addressee, {}))


def _places(tag: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a tag is; nowhere if there is none."""
    at = text.find(tag) if tag else -1
    while at >= 0:
        yield at, at + len(tag)
        at = text.find(tag, at + len(tag))


def _overlaps(spans_: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    return any(start < other_end and other_start < end for other_start, other_end in spans_)
