"""What one message says: the shared content with a personalization laid over it.

Owns which of the two wins, the legacy substitutions and the footer. Never does: encode anything (fields.py, parts.py).
A template language has its place here: whatever makes the subject and the parts of a message, ``Renderer.render``
answers them, and mime.py asks nothing else.

What no personalization changes is returned as the very same object every time; mime.py encodes such an object once.
A part that has holes is returned as the cut text, the same object every time, and what fills it.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from cluster.journal.records import Address, Content, Footer, Part, Personal

_KEY_SETS = 32
"""Key sets whose cut texts are kept. The messages of a request mostly share one."""

_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE | re.ASCII)


class Rendered(Struct, frozen=True):
    """What a message says, in characters; line ends in the parts are ``\\n``."""

    from_: Address
    reply_to: tuple[Address, ...]
    subject: str
    parts: tuple["Part | Filling", ...]
    headers: dict[str, str]


class _Text:
    """A text cut at its keys once, to be filled many times: ``literals`` are what is between the holes, one more than
    the ``keys`` whose values go into them."""

    __slots__ = ("keys", "literals")

    def __init__(self, source: str, keys: re.Pattern[str]) -> None:
        pieces = keys.split(source)
        self.literals, self.keys = pieces[::2], pieces[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        pieces = [""] * (len(self.literals) + len(self.keys))
        pieces[::2] = self.literals
        pieces[1::2] = [values[key] for key in self.keys]
        return "".join(pieces)


class Cut:
    """A part cut at its keys. ``footer``: what is not in the text yet, because its place depends on the values."""

    __slots__ = ("footer", "text", "type")

    def __init__(self, part: Part, keys: re.Pattern[str], footer: Footer | None) -> None:
        self.type = part.type
        self.text = _Text(part.value, keys)
        self.footer = footer
        end = self.text.literals[-1]
        if footer is not None and end and (part.type.lower() != "text/html" or "</body>" in end):
            self.text.literals[-1] = _with_footer(Part(part.type, end), footer).value
            self.footer = None


class Filling(Struct, frozen=True):
    """A cut part and the values for its holes; line ends in them are ``\\n``."""

    cut: Cut
    values: Mapping[str, str]

    def part(self) -> Part:
        """The part with its whole text."""
        return _with_footer(Part(self.cut.type, self.cut.text.fill(self.values)), self.cut.footer)


class _KeySet:
    """The texts of a request, cut at one set of substitution keys."""

    __slots__ = ("keys", "parts", "reply_to", "subject")

    def __init__(self, content: Content, keys: tuple[str, ...]) -> None:
        # The longest first: of two keys that begin alike, the one that says more is meant.
        alternatives = "|".join(re.escape(key) for key in sorted(keys, key=len, reverse=True))
        self.keys = re.compile(f"({alternatives})")
        self.subject = _Text(content.subject, self.keys)
        self.parts = [Cut(part, self.keys, content.footer) for part in content.parts]
        self.reply_to = any(self.keys.search(f"{address.email}\0{address.name}") for address in content.reply_to)


class Renderer:
    """The texts of one request, ready for its messages."""

    def __init__(self, content: Content) -> None:
        self._content = content
        texts = tuple(Part(part.type, _newlines(part.value)) for part in content.parts)
        self._plain = texts or (Part("text/plain", ""),)
        self._headers = _merged(content.headers, {})
        self._key_sets: dict[tuple[str, ...], _KeySet] = {}
        self.parts = tuple(_with_footer(part, content.footer) for part in self._plain)
        """The parts as every message has them that substitutes nothing in them."""

    def render(self, personal: Personal) -> Rendered:
        """What the message of this personalization says."""
        content = self._content
        subject = content.subject if personal.subject is None else personal.subject
        reply_to = content.reply_to
        parts: tuple[Part | Filling, ...] = self.parts
        if personal.substitutions and (key_set := self._key_set(personal.substitutions)):
            values = personal.substitutions
            if personal.subject is None:
                subject = key_set.subject.fill(values)
            else:
                subject = _substituted(subject, key_set.keys, values)
            if key_set.reply_to:
                reply_to = tuple(_substituted_address(address, key_set.keys, values) for address in reply_to)
            parts = self._filled(key_set, values)
        return Rendered(
            content.from_ if personal.from_ is None else personal.from_,
            reply_to,
            subject,
            parts,
            _merged(content.headers, personal.headers) if personal.headers else self._headers,
        )

    def _filled(self, key_set: _KeySet, substitutions: Mapping[str, str]) -> tuple[Part | Filling, ...]:
        if not any(cut.text.keys for cut in key_set.parts):
            return self.parts
        values = {key: _newlines(value) for key, value in substitutions.items()}
        return tuple(
            Filling(cut, values) if cut.text.keys else shared
            for cut, shared in zip(key_set.parts, self.parts, strict=True)
        )

    def _key_set(self, substitutions: Mapping[str, str]) -> _KeySet | None:
        names = tuple(substitutions)
        found = self._key_sets.get(names)
        if found is None:
            keys = tuple(name for name in names if name)  # the empty key would stand between any two characters
            if not keys:
                return None
            if len(self._key_sets) >= _KEY_SETS:
                self._key_sets.clear()
            plain = Content(
                from_=self._content.from_,
                reply_to=self._content.reply_to,
                subject=self._content.subject,
                parts=self._plain,
                footer=self._content.footer,
            )
            found = self._key_sets[names] = _KeySet(plain, keys)
        return found


def _newlines(text: str) -> str:
    """Every line end as ``\\n``: CRLF, and the lone CR that some systems still write."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _substituted(text: str, keys: re.Pattern[str], values: Mapping[str, str]) -> str:
    # In one pass: a value that contains a key is text, not another key, so the order of the keys means nothing.
    return keys.sub(lambda match: values[match[0]], text)


def _substituted_address(address: Address, keys: re.Pattern[str], values: Mapping[str, str]) -> Address:
    name = None if address.name is None else _substituted(address.name, keys, values)
    return Address(_substituted(address.email, keys, values), name)


def _merged(shared: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Header fields key by key, the message's own over the shared; names differ in more than case (RFC 5322 §1.2.2)."""
    spelt: dict[str, tuple[str, str]] = {}
    for headers in (shared, own):
        for name, value in headers.items():
            spelt[name.lower()] = (name, value)
    return dict(spelt.values())


def _with_footer(part: Part, footer: Footer | None) -> Part:
    """The part with its footer: text on a line of its own; html inside the body, where there is one."""
    if footer is None:
        return part
    kind, value = part.type.lower(), part.value
    if kind == "text/plain" and footer.text:
        gap = "\n" if value and not value.endswith("\n") else ""
        return Part(part.type, f"{value}{gap}{_newlines(footer.text)}")
    if kind == "text/html" and footer.html:
        end = _body_end(value)
        return Part(part.type, f"{value[:end]}{_newlines(footer.html)}{value[end:]}")
    return part


def _body_end(html: str) -> int:
    """Where the last ``</body>`` begins, or the end."""
    found = html.rfind("</body>")
    if found < 0:
        for match in _BODY_END.finditer(html):
            found = match.start()
    return found if found >= 0 else len(html)
