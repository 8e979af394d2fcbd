"""The transform of tracked mail: it changes links, adds pixel and unsubscribe text, and puts URLs where tags are.

A text is read once for all messages of a request, or of a template's version for each request; the edits are applied in
one pass, so that everything else stays byte for byte. In a text with holes the character NUL stands for each hole while
it is read.
"""

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from functools import partial

from msgspec import Struct

from actors.compose.tracking import html
from actors.compose.tracking.fields import Fields, UnsubscribeFields
from actors.compose.tracking.html import HOLE
from actors.compose.tracking.places import (
    TEXT_URL,
    Change,
    FilledLink,
    FilledText,
    LinkMaker,
    TokenPlace,
    may_have_tags,
    text_url,
)
from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.tracking.tags import ending, own_preferences, tags_in
from actors.compose.transform import Addressee, Hole, Place, SharedBy, Text
from cluster.images.urls import own_hosts, spans
from cluster.joining import joined
from cluster.tracking.choices import Tracking
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
        self._changes_links = tracking.clicks or tracking.analytics is not None
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
        keys = [hole for hole in text.holes if isinstance(hole, str)]
        if keys and self.scope is SharedBy.REQUEST:
            return None
        whole = HOLE.join(text.literals)
        edits = self._of_plain(whole, keys) if kind == PLAIN else self._of_html(whole, keys, kind)
        return None if edits is None else _applied(text, whole, keys, edits)

    # Edits of a text

    def _of_plain(self, whole: str, keys: Sequence[str]) -> list[Edit]:
        tracking = self._tracking
        tags = tags_in(whole, tracking)
        edits = [Edit(tag.start, tag.end, (self._unsubscribe(tag.preferences),)) for tag in tags]
        number = 0
        if tracking.text_clicks or tracking.analytics is not None:
            taken = [(tag.start, tag.end) for tag in tags]
            for found in TEXT_URL.finditer(whole):
                url = text_url(found[0])
                end = found.start() + len(url)
                if not _overlaps(taken, found.start(), end):
                    edits += self._link(whole, found.start(), end, keys, number, is_html=False)
                    number += 1
        if tracking.subscription is not None and not any(tag.is_subscription for tag in tags):
            gap = "\n\n" if whole and not whole.endswith("\n") else "\n" if whole else ""
            said = ending(tracking.subscription.text or USUAL_TEXT, is_html=False)
            edits.append(Edit(len(whole), len(whole), (gap, *self._around(said))))
        change = partial(self._changed_value, is_html=False)
        return [*edits, *self._holes(whole, keys, edits, set(_indices(whole)), number, change)]

    def _of_html(self, whole: str, keys: Sequence[str], kind: str) -> list[Edit] | None:
        tracking = self._tracking
        found = html.scan(whole)
        if found.is_odd and keys:
            return None
        tags = tags_in(whole, tracking)
        edits = [Edit(tag.start, tag.end, self._tag(tag.preferences, is_raw=tag.is_raw or kind == AMP)) for tag in tags]
        taken = [(tag.start, tag.end) for tag in tags]
        number = 0
        if self._changes_links:
            for link in found.links:
                if not _overlaps(taken, link.start, link.end):
                    edits += self._link(whole, link.start, link.end, keys, number, is_html=True)
                    number += 1
        edits += [Edit(start, end, ()) for start, end in found.untracked]
        if kind == HTML:
            edits += self._ends(whole, found.body_end, any(tag.is_subscription for tag in tags))
            edits += self._images(whole)
        change = partial(self._changed_value, is_html=True)
        return [*edits, *self._holes(whole, keys, edits, found.text_holes, number, change)]

    def _link(
        self, whole: str, start: int, end: int, keys: Sequence[str], number: int, *, is_html: bool
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

    def _ends(self, whole: str, body_end: int, has_subscription_tag: bool) -> Iterator[Edit]:
        """The unsubscribe text, and behind it the pixel."""
        tracking = self._tracking
        pieces: list[Piece] = []
        if tracking.subscription is not None and not has_subscription_tag:
            pieces += self._around(ending(tracking.subscription.html or USUAL_HTML, is_html=True))
        if tracking.opens:
            pixel = TokenPlace(
                f'<img src="{tracking.base_url}/t/o/', open_suffix(), self._tokens, f'.gif" {PIXEL_STYLE}'
            )
            at = whole.find(tracking.open_tag) if tracking.open_tag else -1
            if at < 0:
                pieces.append(pixel)
            while at >= 0:
                yield Edit(at, at + len(tracking.open_tag), (pixel,))
                at = whole.find(tracking.open_tag, at + len(tracking.open_tag))
        if pieces:
            yield Edit(body_end, body_end, tuple(pieces))

    def _images(self, whole: str) -> Iterator[Edit]:
        """The token that makes the fetch of a library image an open, at the end of its URL."""
        if not self._tracking.opens or "/i/" not in whole:
            return
        for start, end in spans(whole, self._is_own_image):
            mark = "&amp;m=" if "?" in whole[start:end] else "?m="
            yield Edit(end, end, (TokenPlace(mark, open_suffix(), self._tokens),))

    def _holes(
        self,
        whole: str,
        keys: Sequence[str],
        edits: Sequence[Edit],
        places: Set[int],
        number: int,
        change: Change,
    ) -> Iterator[Edit]:
        """The holes in text, whose values may hold links of their own."""
        taken = [(edit.start, edit.end) for edit in edits if edit.start < edit.end]
        found = [
            (at, keys[index])
            for index, at in enumerate(_indices(whole))
            if at in places and not _overlaps(taken, at, at + 1)
        ]
        before: list[str] = []
        share = max(Counter([key for _, key in found]).values(), default=0) / max(1, len(found))
        for at, key in found:
            yield Edit(at, at + 1, (FilledText(key, tuple(before), number, share, change),))
            before.append(key)

    def _changed_value(self, value: str, number: int, addressee: Addressee, *, is_html: bool) -> tuple[str, int]:
        """The value of a hole for a recipient, and the number of its links. ``number``: of the first of them."""
        text = Text(HTML if is_html else PLAIN, (value,))
        edits: list[Edit] = []
        count = 0
        tags = tags_in(value, self._tracking)
        edits += [
            Edit(tag.start, tag.end, self._tag(tag.preferences, is_raw=tag.is_raw or not is_html)) for tag in tags
        ]
        taken = [(tag.start, tag.end) for tag in tags]
        if is_html:
            found = html.scan(value)
            edits += [Edit(start, end, ()) for start, end in found.untracked] + list(self._images(value))
            links = [(link.start, link.end) for link in found.links] if self._changes_links else []
        elif self._tracking.text_clicks or self._tracking.analytics is not None:
            links = [(one.start(), one.start() + len(text_url(one[0]))) for one in TEXT_URL.finditer(value)]
        else:
            links = []
        for start, end in links:
            if not _overlaps(taken, start, end):
                edits += self._link(value, start, end, (), number + count, is_html=is_html)
                count += 1
        return _filled(_applied(text, value, (), edits), addressee), count

    def _with_tags(self, value: str, addressee: Addressee) -> str:
        if not may_have_tags(value):
            return value
        edits = [
            Edit(tag.start, tag.end, (self._unsubscribe(tag.preferences),)) for tag in tags_in(value, self._tracking)
        ]
        return _filled(_applied(Text(PLAIN, (value,)), value, (), edits), addressee)

    # Pieces

    def _unsubscribe(self, preferences: Preferences) -> TokenPlace:
        return TokenPlace(f"{self._tracking.base_url}/t/u/", unsubscribe_suffix(preferences), self._tokens)

    def _tag(self, preferences: Preferences, *, is_raw: bool) -> tuple[Piece, ...]:
        url = self._unsubscribe(preferences)
        return (url,) if is_raw else ('<a href="', url, '">Unsubscribe</a>')

    def _around(self, said: tuple[str, ...]) -> list[Piece]:
        """The pieces of an unsubscribe text with the URL between them."""
        url = self._unsubscribe(own_preferences(self._tracking))
        pieces: list[Piece] = [said[0]]
        for piece in said[1:]:
            pieces += (url, piece)
        return pieces


def tracking_transform(tracking: Tracking | None, key: TokenKey, types: Sequence[str]) -> TrackingTransform | None:
    """The transform of a request's messages; None where nothing of them would change. ``types``: those of its parts;
    empty where a template has them."""
    if tracking is None:
        return None
    if types and not tracking.has_unsubscribe:
        kinds = {one.lower() for one in types}
        in_text = tracking.text_clicks or tracking.analytics is not None
        if not (kinds & {HTML, AMP} or (PLAIN in kinds and in_text)):
            return None
    return TrackingTransform(tracking, key)


def _applied(text: Text, whole: str, keys: Sequence[str], edits: Sequence[Edit]) -> Text:
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


def _filled(text: Text, addressee: Addressee) -> str:
    """A text without keys, for a recipient."""
    return joined(text.literals, [hole if isinstance(hole, str) else hole.fill(addressee, {}) for hole in text.holes])


def _indices(whole: str) -> Iterator[int]:
    at = whole.find(HOLE)
    while at >= 0:
        yield at
        at = whole.find(HOLE, at + 1)


def _overlaps(spans_: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    return any(start < other_end and other_start < end for other_start, other_end in spans_)
