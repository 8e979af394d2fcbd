"""What of a submitted message stays byte for byte, by the places of its parts. Each is signed as it is sent."""

from collections.abc import Iterator
from email import message_from_bytes, policy

import pytest

from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from actors.compose.tracking.transform import TrackingTransform
from actors.compose.transform import Addressee
from cluster.ids import new_id
from cluster.journal.records import Content, PreparedPersonalization
from cluster.message.submitted.header import header_at
from cluster.message.submitted.structure import Part, structure_of
from cluster.message.submitted.texts import leaves
from cluster.tracking.choices import Tracking
from cluster.tracking.tokens import KEY_BYTES, TokenKey
from tests.unit.compose.reading import DATE, MESSAGE_ID, SENDER, Key, personalization, signer_with, verdicts
from tests.unit.compose.submitted.corpus import CORPUS, LINK, LONG, Specimen

TRACKING = Tracking(base_url="https://t.example.com", tenant_number=1, opens=True, clicks=True)
TRANSFORM = TrackingTransform(TRACKING, TokenKey(1, b"k" * KEY_BYTES))
ADDRESSEE = Addressee(new_id("msg_"), 0, "jane@example.net")
BOTH = pytest.mark.parametrize("is_tracked", [False, True])
EACH = pytest.mark.parametrize("name", CORPUS)


def wire(data: bytes, *keys: Key, is_tracked: bool, own: PreparedPersonalization | None = None) -> bytes:
    transform = TRANSFORM if is_tracked else None
    skeleton = compile_content(Content(from_=SENDER, original=data), {}, transform=transform)
    draft = draft_message(
        skeleton,
        own or personalization(),
        signer_with(*keys) if keys else None,
        message_id=MESSAGE_ID,
        date=DATE,
        signed_at=DATE,
        addressee=ADDRESSEE if is_tracked else None,
        feedback_id=b"a:b:c",
    )
    [made] = finish([draft])
    return made.data


def contents(data: bytes) -> Iterator[tuple[Part, bytes]]:
    for part in leaves(structure_of(data), of_sealed=True):
        yield part, data[part.content : part.end]


def changed(specimen: Specimen, *, is_tracked: bool) -> set[int]:
    return {*specimen.shortened, *(specimen.changed if is_tracked else ())}


@EACH
@BOTH
def test_what_stays(name: str, is_tracked: bool) -> None:
    specimen = CORPUS[name]
    data = specimen.data
    made = wire(data, is_tracked=is_tracked)
    before, after = list(contents(data)), list(contents(made))
    assert len(before) == len(after)
    for number, ((_, old), (part, new)) in enumerate(zip(before, after, strict=True)):
        if number in changed(specimen, is_tracked=is_tracked):
            assert old != new
        elif part.end == len(made) and not old.endswith(b"\r\n"):
            assert new in (old, old + b"\r\n")
        else:
            assert old == new
    header, made_header = header_at(data), header_at(made)
    if not changed(specimen, is_tracked=is_tracked):
        assert made.startswith(data[: header.end])
        assert made[made_header.body :].removesuffix(b"\r\n") == data[header.body :].removesuffix(b"\r\n")


@EACH
@BOTH
def test_what_is_around_the_parts_stays(name: str, is_tracked: bool) -> None:
    def around(data: bytes) -> list[bytes]:
        root = structure_of(data)
        places = [
            root.content,
            *(place for part in leaves(root, of_sealed=True) for place in (part.start, part.end)),
            len(data),
        ]
        return [data[start:end] for start, end in zip(places[::2], places[1::2], strict=True)] if root.parts else []

    data = CORPUS[name].data
    assert around(wire(data, is_tracked=is_tracked)) == around(data)


@EACH
@BOTH
def test_each_verifies(name: str, is_tracked: bool, rsa: Key, ed25519: Key) -> None:
    if name == "white space before a colon":
        pytest.skip("dkimpy does not read this syntax, which RFC 5322 §4.5 has")
    made = wire(CORPUS[name].data, rsa, ed25519, is_tracked=is_tracked)
    assert verdicts(made, rsa, ed25519)[:2] == [True, True]


@EACH
def test_the_changed_texts_are_those_that_came_with_links_of_ours(name: str) -> None:
    """Read by the standard library: the same charset, and nothing changed but for links and the pixel."""
    specimen = CORPUS[name]
    old, new = (
        [part for part in message_from_bytes(data, policy=policy.default).walk() if not part.is_multipart()]
        for data in (specimen.data, wire(specimen.data, is_tracked=True))
    )
    for number in specimen.changed:
        before, after = text_of(old[number]), text_of(new[number])
        assert old[number].get_content_charset() == new[number].get_content_charset()
        assert after.count("https://t.example.com/t/c/") == before.count(LINK)
        if old[number].get_content_type() == "text/html":
            pixel = after.index("<img src=")
            after = after[:pixel] + after[after.index(">", pixel) + 1 :]
        while "https://t.example.com/" in after:
            start = after.index("https://t.example.com/")
            after = after[:start] + LINK + after[after.index('"', start) :]
        assert after.removesuffix("\r\n") == before.removesuffix("\r\n")  # which the end of a message gets
    for number in set(specimen.shortened) - set(specimen.changed):
        assert old[number].get_payload(decode=True) == new[number].get_payload(decode=True)


def text_of(part: object) -> str:
    charset = part.get_content_charset("utf-8")  # type: ignore[attr-defined]
    charset = {"gb2312": "gbk", "shift_jis": "cp932"}.get(charset, charset)
    octets: bytes = part.get_payload(decode=True)  # type: ignore[attr-defined]
    return octets.decode(charset)


@EACH
@BOTH
def test_no_line_is_too_long_where_it_may_be_encoded(name: str, is_tracked: bool) -> None:
    made = wire(CORPUS[name].data, is_tracked=is_tracked)
    has_long = any(len(line) > 998 for line in made.split(b"\r\n"))
    assert has_long == (name in ("s/mime signed with long lines", "long lines of an attached message"))
    assert not LONG.startswith("\n")


@EACH
def test_attempts_are_the_same(name: str) -> None:
    data = CORPUS[name].data
    assert wire(data, is_tracked=True) == wire(data, is_tracked=True)
