"""Where a text names some addresses, in the usual spellings and encodings, and the text without them. Pure; the time is
linear in the text.
"""

import quopri
import re
from binascii import a2b_base64
from collections import defaultdict
from collections.abc import Collection, Iterator
from urllib.parse import quote, unquote

from cluster.message.submitted.structure import DEEPEST, structure_of
from cluster.message.submitted.texts import leaves
from cluster.policy.routes.domains import a_labels

ERASED = "erased@erased.invalid"
"""What stands for an erased address. No mail reaches it (RFC 2606 §2)."""
ERASED_TEXT = "[erased]"
"""What stands for a text in which an address cannot be replaced."""

_AT = re.compile(r"@|%(?:25)*40|&(?:#64|#[xX]40|commat);")
_ASCII_DOMAIN = re.compile(r"[A-Za-z0-9.-]{1,255}")
_DOMAIN = re.compile(r"[^\s\x00-,/:-@\[-`{-\x7f]{1,255}")
"""Other ASCII characters than letters, digits, dots and hyphens end a domain."""
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_OF_LOCAL_PART = re.compile(r"[\w.+-]")
"""Before what is found, such a character makes it the end of another address."""


class Mentions:
    """Finds some addresses in texts. ``addresses`` are in the form of ``cluster.suppression.address.compared``."""

    def __init__(self, addresses: Collection[str]) -> None:
        self._local_parts: dict[str, set[str]] = defaultdict(set)
        """By domain, in lower case, as they are and percent-encoded."""
        for address in addresses:
            local_part, _, domain = address.rpartition("@")
            self._local_parts[domain] |= {local_part, quote(local_part, safe="").lower()}
        self._lengths = {
            domain: sorted(set(map(len, spellings)), reverse=True) for domain, spellings in self._local_parts.items()
        }

    def are_in(self, text: str) -> bool:
        """Whether a text has one of the addresses, as it is or percent-encoded."""
        return any(True for _ in self._places(text)) or ("%" in text and any(True for _ in self._places(unquote(text))))

    def are_in_mail(self, mail: bytes) -> bool:
        """The same for a mail (RFC 5322), which may be truncated. It is searched as it is, decoded as quoted-printable,
        and part by part in the encodings that it names."""
        return any(self.are_in(text.decode("utf-8", "replace")) for text in _decoded(mail))

    def without(self, text: str) -> str:
        """The text with ``ERASED`` in place of each of the addresses; ``ERASED_TEXT`` where one is in an unusual
        encoding. The same text when it has none."""
        kept, done = list[str](), 0
        for start, end in self._places(text):
            kept += (text[done:start], ERASED)
            done = end
        if done:
            text = "".join((*kept, text[done:]))
        return ERASED_TEXT if self.are_in(text) else text

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the addresses stand in a text: from, to."""
        done = 0
        for at in _AT.finditer(text):
            for domain, end in _domains(text, at.end()):
                start = self._start(text, done, at.start(), domain)
                if start is not None:
                    yield start, end
                    done = end
                    break

    def _start(self, text: str, done: int, at: int, domain: str) -> int | None:
        """Where an address with this domain begins, whose @ is at ``at``."""
        for length in self._lengths.get(domain, ()):
            start = at - length
            if start < done or text[start:at].lower() not in self._local_parts[domain]:
                continue
            before = unquote(text[max(0, start - 3) : start])[-1:]
            if not _OF_LOCAL_PART.match(before):
                return start
        return None


def _domains(text: str, start: int) -> Iterator[tuple[str, int]]:
    """The domains that may begin here, each with its end: words of a language without spaces may follow on one in
    ASCII, and a sentence may end behind one."""
    if found := _ASCII_DOMAIN.match(text, start):
        name = found[0].rstrip(".-")
        yield name.lower(), start + len(name)
    found = _DOMAIN.match(text, start)
    if found and not found[0].isascii():
        name = found[0].rstrip(".-。")
        if domain := a_labels(name):
            yield domain, start + len(name)


def _decoded(mail: bytes) -> Iterator[bytes]:
    """A mail, and what is encoded in it, also in mail that is attached."""
    yield quopri.decodestring(mail)
    pending = [(mail, 0)]
    while pending:
        octets, depth = pending.pop()
        yield octets
        for part in leaves(structure_of(octets), of_sealed=True):
            content = octets[part.content : part.end]
            if part.media.encoding == "base64":
                yield _lenient(content)
            elif part.media.encoding == "quoted-printable":
                yield quopri.decodestring(content)
            if part.media.kind.startswith("message/") and depth < DEEPEST:
                pending.append((content, depth + 1))


def _lenient(content: bytes) -> bytes:
    """What base64 stands for, as far as it goes."""
    digits = _NOT_BASE64.sub(b"", content)
    return a2b_base64(digits[: len(digits) // 4 * 4])
