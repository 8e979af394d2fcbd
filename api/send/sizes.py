"""Computes the sizes of a request's messages before they are composed. Pure.

A request of kilobytes can expand to gigabytes: a short key, a long value. So sizes are computed from literals, values
and the number of substitutions. There are three steps, and nearly every request needs only the first: bounds that cost
nothing; bounds from the lengths of keys and values; and last, a search for the keys.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from api.http.refusals import Fault
from api.send.effort import MOST_S
from api.send.reply_to import LONGEST_FILLED
from api.send.request import ContentPart, FooterSetting, Mailbox, MailSend, Personalization
from cluster.message.forms import QuotedForm, quoted_form
from cluster.message.substitution import CutText, effort_s, is_slow, keys_of
from cluster.message.transfer_encoding import (
    base64_length,
    encoded_text,
    newlines,
    octets,
)
from cluster.settings import MessageSettings

LONGEST_PLAIN_NAME = 320
"""The longest display name, in characters, that ``_FRAME`` includes."""

_FRAME = 8 * 1024
"""Octets that every message has: header fields, boundaries, signatures, one recipient."""
_FRAME_OF_FILE = 6 * 1024
"""Octets around an attachment: its name may be written twice, with twelve octets per character."""
_ENCODED = 6
"""The most octets on the wire for a character of a text in base64: four in UTF-8, a third more, and line ends. Each
text counts as one character longer, for its end."""
_GROWTH = 16
"""The most octets on the wire for a character of a value: four in UTF-8, three for each of them, and line breaks."""
_MOST_CUT = 8 * 1024 * 1024
"""The most characters of cut texts that are cached for one request, over all of its sets of keys. The last set is
always cached."""
_MOST_FILLED = 16
"""The most texts of a request that are substituted to find their exact size. For others the bound is used."""


class _Text(Struct, frozen=True):
    """A part of the body."""

    type: str
    value: str
    footer: str
    bound: int
    """Its most octets on the wire without substitutions."""

    def exact(self) -> int:
        return len(encoded_text(f"{self.value}\n{self.footer}" if self.footer else self.value)[1])


class _Cut(Struct, frozen=True):
    """A part that is cut at the places of a set of keys."""

    text: CutText
    form: QuotedForm | None


class Sizes:
    """The sizes of one request's messages.

    ``harmless``: keys and values with this many characters make no message too large, wherever they occur.
    """

    __slots__ = (
        "_characters",
        "_cuts",
        "_filled",
        "_fits",
        "_footer",
        "_frame",
        "_limits",
        "_made",
        "_parts",
        "_room",
        "_searched_s",
        "harmless",
    )

    def __init__(self, mail: MailSend, limits: MessageSettings, faults: list[Fault]) -> None:
        """Adds the faults of the parts that the messages share."""
        self._limits = limits
        self._parts = mail.content or ()
        self._footer = mail.mail_settings.footer if mail.mail_settings else None
        sizes_of_files = [_file_size(part.content or "") for part in mail.attachments] if mail.attachments else []
        files = sum(sizes_of_files)
        header = _addresses_size(mail.reply_to_list) + 3 * LONGEST_FILLED if mail.reply_to_list else 0
        if mail.reply_to is not None:
            header += 3 * LONGEST_FILLED + _long_name_size(mail.reply_to)
        if mail.from_ is not None:
            header += _long_name_size(mail.from_)
        if mail.headers:
            header += _headers_size(mail.headers)
        self._frame = _FRAME + files + header
        self._characters = sum([len(part.value or "") for part in self._parts])
        self._made: list[_Text] | None = None
        room = min(limits.max_part_bytes, limits.max_bytes - self._frame)
        texts = _ENCODED * (self._characters + len(self._parts))
        self._fits = self._footer is None and texts <= room
        if not self._fits:
            self._fits = self._check_texts(faults)
            texts = sum([text.bound for text in self._texts])
            if self._fits and self._frame + texts > limits.max_bytes:
                sizes = (("attachments", files), ("content", texts), ("headers", header))
                field, _ = max(sizes, key=lambda one: one[1])
                if field == "attachments" and max(sizes_of_files) > limits.max_bytes:
                    field = f"attachments[{sizes_of_files.index(max(sizes_of_files))}]"
                faults.append(too_large("The message", self._frame + texts, limits.max_bytes, field))
                self._fits = False
        self._room = room - texts
        self.harmless = self._room // (_GROWTH * max(self._characters, 1)) if self._fits else 2**62
        self._searched_s = 0.0
        self._filled = 0
        self._cuts: dict[tuple[str, ...], list[_Cut]] = {}
        """The cut texts by set of keys. The personalizations of a request usually have few different sets."""

    def check_message(self, index: int, one: Personalization, faults: list[Fault]) -> None:
        """Add the fault of a message whose personalization has longer values than ``harmless``, many recipients or
        header fields of its own, if it is too large."""
        if not self._fits:
            return
        own = _headers_size(one.headers or {})
        own += _addresses_size(
            [*(one.to or ()), *(one.cc or ()), *(one.bcc or ()), *([one.from_] if one.from_ else ())]
        )
        values = one.substitutions or {}
        growth = max([len(value) / len(name) for name, value in values.items() if name], default=0)
        if own + growth * self._characters * _GROWTH <= self._room:
            return
        field = f"personalizations[{index}]"
        texts = [text.bound for text in self._texts]
        if growth:
            field += ".substitutions"
            if self._searched_s > MOST_S:
                faults.append(Fault("Too many different sets of keys for texts of this length", field))
                return
            if is_slow(values) and effort_s(values, self._characters) > 2 * MOST_S:
                faults.append(Fault("Keys this long cannot be looked for in texts of this length", field))
                return
            normal = {name: newlines(value) for name, value in values.items()}
            cuts = self._cut(values)
            texts = [self._size(text, cut, normal) for text, cut in zip(self._texts, cuts, strict=True)]
        if max(texts, default=0) > self._limits.max_part_bytes:
            faults.append(too_large("A text", max(texts), self._limits.max_part_bytes, field))
        elif self._frame + own + sum(texts) > self._limits.max_bytes:
            faults.append(too_large("The message", self._frame + own + sum(texts), self._limits.max_bytes, field))

    @property
    def _texts(self) -> list[_Text]:
        """Computed only when the first bounds are exceeded."""
        if self._made is None:
            self._made = [_text(part, self._footer) for part in self._parts]
        return self._made

    def _check_texts(self, faults: list[Fault]) -> bool:
        """Whether each text fits by itself. When a bound is exceeded, exact sizes replace the bounds."""
        most = self._limits.max_part_bytes
        bounds = [text.bound for text in self._texts]
        if max(bounds, default=0) <= most and self._frame + sum(bounds) <= self._limits.max_bytes:
            return True
        self._made = [_Text(text.type, text.value, text.footer, text.exact()) for text in self._texts]
        over = [index for index, text in enumerate(self._texts) if text.bound > most]
        for index in over:
            faults.append(too_large("The text", self._texts[index].bound, most, f"content[{index}].value"))
        return not over

    def _cut(self, substitutions: Mapping[str, str]) -> list[_Cut]:
        names = tuple(substitutions)
        if names not in self._cuts:
            if (len(self._cuts) + 1) * self._characters > _MOST_CUT:
                self._cuts.clear()
            keys = keys_of(substitutions)
            cuts = [CutText(text.value, keys) for text in self._texts]
            self._searched_s += effort_s(names, self._characters)
            self._cuts[names] = [_Cut(cut, _form(text, cut)) for text, cut in zip(self._texts, cuts, strict=True)]
        return self._cuts[names]

    def _size(self, text: _Text, cut: _Cut, values: Mapping[str, str]) -> int:
        """The octets of a part on the wire with these values, or slightly more."""
        if not cut.text.counts:
            return text.bound
        footer = base64_length(octets(text.footer) + 2) if text.footer else 0
        if cut.form is not None:
            return cut.form.size(values) + 2 * footer
        least = cut.text.size(values)
        bound = base64_length(least) + footer
        room = self._limits.max_part_bytes
        if least <= room < bound and self._filled < _MOST_FILLED:
            self._filled += 1
            return len(encoded_text(cut.text.fill(values))[1]) + footer
        return bound


def too_large(what: str, size: int, most: int, field: str) -> Fault:
    """The fault of a part or message that would have ``size`` bytes."""
    return Fault(f"{what} would have {size} bytes as it is sent; at most {most}", field)


def _text(part: ContentPart, footer: FooterSetting | None) -> _Text:
    kind, value, end = (part.type or "").strip().lower(), newlines(part.value or ""), ""
    if footer is not None and footer.enable:
        end = newlines((footer.text if kind == "text/plain" else footer.html if kind == "text/html" else None) or "")
    return _Text(kind, value, end, base64_length(octets(value) + octets(end) + 2))


def _form(text: _Text, cut: CutText) -> QuotedForm | None:
    if text.type == "text/calendar" or cut.literals is None or cut.holes is None:
        return None
    return quoted_form(cut.literals, cut.holes)


def _file_size(content: str) -> int:
    return base64_length(len(content) // 4 * 3) + _FRAME_OF_FILE


def _headers_size(headers: Mapping[str, str]) -> int:
    # The shortest phrases, each in its own encoded word, take some eight octets per octet.
    return sum([len(name) + 80 + _encoded_size(value, 10) for name, value in headers.items()])


def _addresses_size(mailboxes: Sequence[Mailbox]) -> int:
    return sum([80 + 2 * len(one.email or "") + _encoded_size(one.name or "") for one in mailboxes])


def _long_name_size(mailbox: Mailbox) -> int:
    """The octets of a name that is too long for ``_FRAME``; 0 for others."""
    return _encoded_size(name) if (name := mailbox.name) and len(name) > LONGEST_PLAIN_NAME else 0


def _encoded_size(text: str, growth: int = 2) -> int:
    """The most octets of a text in a header field: with folds for printable ASCII, otherwise ``growth`` per octet.
    Encoded words of 42 octets need less than two per octet."""
    return len(text) * 21 // 20 if text.isascii() and text.isprintable() else octets(text) * growth
