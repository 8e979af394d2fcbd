"""The step between rendering and MIME, with a transform for all messages of a request and one for each recipient."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
from msgspec import Struct

from actors.compose import dkim, parts
from actors.compose.message import WireMessage, draft_message, finish
from actors.compose.mime import compile_content
from actors.compose.skeleton import Composed, Skeleton
from actors.compose.transform import Addressee, Growth, Hole, SharedBy, Text, Transform
from cluster.journal.records import Content, Footer, PreparedPersonalization
from cluster.message import forms, transfer_encoding
from cluster.message.forms import Values
from cluster.message.header_fields import NotComposable
from cluster.settings import MessageSettings
from tests.unit.compose.reading import (
    DATE,
    MESSAGE_ID,
    Key,
    assert_sound,
    attachment,
    content,
    html,
    personalization,
    plain,
    read,
    text_of,
    verifies,
)

LINK = re.compile(r'href="(https?://[^"]*)"')
ADA, BOB = Addressee("msg_01", 0, "ada@example.net"), Addressee("msg_01", 1, "bob@example.net")


class Wordy:
    """Changes the text that all messages share, in every part."""

    scope = SharedBy.REQUEST

    def __init__(self) -> None:
        self.seen: list[Text] = []

    def fields(self, _addressee: Addressee) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def change(self, text: Text) -> Text:
        self.seen.append(text)
        changed = [literal.replace("colour", "color\r\n") for literal in text.literals]
        return Text(text.type, tuple(changed), text.holes)


class Token(Struct, frozen=True):
    """Our own link, which names the recipient and the target of the original link."""

    target: Text

    def fill(self, addressee: Addressee, values: Values) -> str:
        holes = [values[hole] for hole in self.target.holes if isinstance(hole, str)]
        target = "".join(woven(self.target.literals, holes))
        return f"https://t.example/{addressee.message_id}.{addressee.recipient_no}/{target.removeprefix('https://')}"

    @property
    def growth(self) -> Growth:
        return Growth(100 + len("".join(self.target.literals)), len(self.target.holes))


class Pixel(Struct, frozen=True):
    """A line for each recipient."""

    def fill(self, addressee: Addressee, _values: Values) -> str:
        return f"<img src={addressee.email}>\r\n"

    @property
    def growth(self) -> Growth:
        return Growth(100)


class Tracking:
    """Puts a token into each link of an html part and a pixel at its end. A link whose address has keys in it is found
    as well; where a key could hide a link, the whole text is asked for. Other parts stay as they are."""

    scope = SharedBy.RECIPIENT

    def __init__(self) -> None:
        self.seen: list[Text] = []

    def fields(self, _addressee: Addressee) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def change(self, text: Text) -> Text | None:
        self.seen.append(text)
        if text.type != "text/html":
            return text
        if "-block-" in text.holes:
            return None
        literals, holes = [""], list[Hole]()
        # One character that is in no text stands for a key; the keys come in their order.
        keys = iter(text.holes)
        whole, done = "\0".join(text.literals), 0

        def keep(piece: str) -> None:
            first, *others = piece.split("\0")
            literals[-1] += first
            for other in others:
                literals.append(other)
                holes.append(next(keys))

        for link in LINK.finditer(whole):
            keep(whole[done : link.start(1)])
            target = tuple(link[1].split("\0"))
            holes.append(Token(Text("", target, tuple([next(keys) for _ in target[1:]]))))
            literals.append("")
            done = link.end(1)
        keep(whole[done:])
        return Text(text.type, (*literals, ""), (*holes, Pixel()))


def woven(literals: tuple[str, ...], values: list[str]) -> Iterator[str]:
    yield literals[0]
    for value, literal in zip(values, literals[1:], strict=True):
        yield from (value, literal)


def transformed(
    shared: Content,
    transform: Transform,
    limits: MessageSettings | None = None,
    files: Mapping[bytes, bytes] | None = None,
) -> Skeleton:
    return compile_content(shared, files or {}, limits or MessageSettings(), transform)


def composed(
    skeleton: Skeleton, addressee: Addressee | None = None, own: PreparedPersonalization | None = None
) -> Composed:
    return skeleton.compose(own or personalization(), message_id=MESSAGE_ID, date=DATE, addressee=addressee)


def made(
    skeleton: Skeleton, addressee: Addressee | None = None, own: PreparedPersonalization | None = None, late: int = 0
) -> WireMessage:
    at = DATE + timedelta(seconds=late)
    draft = draft_message(
        skeleton, own or personalization(), None, message_id=MESSAGE_ID, date=DATE, signed_at=at, addressee=addressee
    )
    [wire] = finish([draft])
    assert_sound(wire.data)
    return wire


def html_for(skeleton: Skeleton, addressee: Addressee | None = None, **own: str) -> str:
    return text_of(read(made(skeleton, addressee, personalization(substitutions=own)).data), "text/html")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is put into a transfer encoding."""
    texts: list[str] = []
    whole, quoted = transfer_encoding.encoded_text, transfer_encoding.quoted_printable

    def noting_whole(value: str) -> tuple[bytes, bytes]:
        texts.append(value)
        return whole(value)

    def noting_quoted(value: str) -> bytes:
        texts.append(value)
        return quoted(value)

    monkeypatch.setattr(parts, "encoded_text", noting_whole)
    monkeypatch.setattr(transfer_encoding, "quoted_printable", noting_quoted)
    monkeypatch.setattr(forms, "quoted_printable", noting_quoted)
    return texts


def test_what_a_request_shares_is_changed_encoded_and_hashed_once(
    encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transform = Wordy()
    skeleton = transformed(content(plain("colour é"), html("<p>colour</p>"), subject="-n-"), transform)
    bodies = [composed(skeleton, own=personalization(substitutions={"-n-": str(number)})).body for number in range(3)]
    assert all(body is bodies[0] for body in bodies)
    assert [text.literals for text in transform.seen] == [("colour é",), ("<p>colour</p>",)]
    assert encoded.count("color\n é") == 2, "the text as a whole, which then is quoted"
    assert encoded.count("<p>color\n</p>") == 1
    monkeypatch.setattr(dkim, "body_hash", lambda body: f"hash of {len(body)}".encode())
    assert {skeleton.body_hash(body) for body in bodies} == {f"hash of {len(bodies[0])}".encode()}
    assert b"colour" not in bodies[0] and b"color" in bodies[0]


def test_keys_are_filled_in_what_a_request_shares() -> None:
    transform = Wordy()
    skeleton = transformed(content(plain("shared colour"), html("é colour of -n- and -n-")), transform)
    for name in ("red", "blue"):
        message = read(made(skeleton, own=personalization(substitutions={"-n-": name})).data)
        assert text_of(message, "text/html") == f"é color\n of {name} and {name}"
        assert text_of(message, "text/plain") == "shared color\n"
    assert len(transform.seen) == 2


def test_each_recipient_has_places_of_their_own_and_all_else_is_encoded_once(encoded: list[str]) -> None:
    transform = Tracking()
    markup = 'é <a href="https://x.example/1">one</a>\n<a href="https://x.example/2">two</a>'
    skeleton = transformed(content(plain("é text"), html(markup)), transform)
    copies = [html_for(skeleton, addressee) for addressee in (ADA, BOB, ADA)]
    assert copies[0] == (
        'é <a href="https://t.example/msg_01.0/x.example/1">one</a>\n'
        '<a href="https://t.example/msg_01.0/x.example/2">two</a><img src=ada@example.net>\n'
    )
    assert copies[1] == copies[0].replace("01.0", "01.1").replace("ada", "bob")
    assert copies[2] == copies[0]
    assert [text.literals for text in transform.seen] == [("é text",), (markup,)], "each text is looked at once"
    assert encoded.count("é text") == 2
    between = [text for text in encoded if ">one</a>" in text]
    assert len(between) == 2, "as a piece, and to know whether base64 is shorter"
    assert sum("t.example" in text for text in encoded) <= 6, "of a copy, the values alone"


def test_keys_and_places_side_by_side() -> None:
    transform = Tracking()
    skeleton = transformed(
        content(plain("x"), html('é -n-, <a href="https://x.example/-id-?-n-">see</a> -n-')), transform
    )
    for addressee, name in ((ADA, "Ada"), (BOB, "Bob")):
        assert html_for(skeleton, addressee, **{"-n-": name, "-id-": "7"}) == (
            f'é {name}, <a href="https://t.example/msg_01.{addressee.recipient_no}/x.example/7?{name}">see</a> {name}'
            f"<img src={addressee.email}>\n"
        )
    assert [text.holes for text in transform.seen if text.type == "text/html"] == [("-n-", "-id-", "-n-", "-n-")]


@pytest.mark.parametrize("keys", [{}, {"-block-": '<a href="https://x.example/1">'}])
def test_a_text_that_cannot_be_told_before_it_is_filled(keys: dict[str, str]) -> None:
    """Cases: a key hides the link, the place of the footer depends on a value, all of it is ASCII."""
    transform = Tracking()
    markup = "-block-one</a>-end-" if keys else '<a href="https://x.example/1">one</a>-end-'
    skeleton = transformed(content(html(markup), footer=Footer("", "<i>F</i>")), transform)
    for addressee in (ADA, BOB):
        assert html_for(skeleton, addressee, **{"-end-": "</body>", **keys}) == (
            f'<a href="https://t.example/msg_01.{addressee.recipient_no}/x.example/1">one</a><i>F</i></body>'
            f"<img src={addressee.email}>\n"
        )
    assert [text.literals for text in transform.seen][-2:] == [
        ('<a href="https://x.example/1">one</a><i>F</i></body>',)
    ] * 2


def test_parts_without_places_stay_shared() -> None:
    skeleton = transformed(content(plain("no link")), Tracking())
    first, second = composed(skeleton, ADA), composed(skeleton, BOB)
    assert first.body is second.body


def test_files_stand_beside_what_is_changed() -> None:
    named = attachment(b"data")
    skeleton = transformed(content(html("x"), attachments=(named,)), Tracking(), files={named.sha256: b"data"})
    message = read(made(skeleton, ADA).data)
    assert text_of(message, "text/html") == "x<img src=ada@example.net>\n"
    assert text_of(message, "application/octet-stream") == "data"


def test_copies_differ_in_their_places_only_and_a_retry_in_nothing(rsa: Key) -> None:
    shared = content(plain("é"), html('é <a href="https://x.example/1">one</a>'))
    first, again = (made(transformed(shared, Tracking()), ADA, late=late).data for late in (0, 3600))
    assert first == again
    other = made(transformed(shared, Tracking()), BOB).data
    assert first.replace(b"msg_01.0", b"msg_01.1").replace(b"ada@", b"bob@") == other
    signed = draft_message(
        transformed(shared, Tracking()),
        personalization(),
        rsa.signer(),
        message_id=MESSAGE_ID,
        date=DATE,
        signed_at=DATE,
        addressee=ADA,
    )
    [wire] = finish([signed])
    assert verifies(wire.data, rsa.public)


def test_a_transform_cannot_make_a_text_too_large() -> None:
    markup = "".join(f'<a href="https://x.example/{number}">é</a>' for number in range(100))
    size = len(html_for(transformed(content(html(markup)), Tracking()), ADA).encode())
    for room, fits in ((2 * size, True), (len(markup.encode()) + 100, False)):
        skeleton = transformed(content(html(markup)), Tracking(), MessageSettings(max_part_bytes=room))
        if fits:
            made(skeleton, ADA)
        else:
            with pytest.raises(NotComposable, match=r"a text has \d+ bytes, more than"):
                made(skeleton, ADA)


def test_what_would_be_too_large_is_not_made_for_a_transform_to_see() -> None:
    transform = Tracking()
    skeleton = transformed(content(html("-block-" * 1000)), transform, MessageSettings(max_part_bytes=100_000))
    with pytest.raises(NotComposable):
        composed(skeleton, ADA, personalization(substitutions={"-block-": "x" * 9000}))
    assert all(len("".join(text.literals)) < 10_000 for text in transform.seen)


def test_growth_counts_what_a_transform_adds() -> None:
    links = "".join(f'<a href="https://x.example/{number}?-id-">é</a>' for number in range(50))
    plainly = compile_content(content(html(links)), {})
    own = personalization(substitutions={"-id-": "7" * 400})
    skeleton = transformed(content(html(links)), Tracking())
    before, after = plainly.growth(own, 500), skeleton.growth(own, 500)
    assert before is not None and after is not None
    source = len(links.encode())
    assert source + after >= len(html_for(skeleton, ADA, **own.substitutions).encode())
    assert after - before >= 50 * 500
    assert skeleton.growth(personalization(), 0) in range(50 * 100, 50 * 200)
    hidden = transformed(content(html("-block-")), Tracking())
    assert hidden.growth(personalization(substitutions={"-block-": "x"}), 8) is None
    longer = transformed(content(plain("colour" * 100)), Wordy()).growth(personalization(), 0)
    assert longer == 100, "of which each line end takes two octets"


def test_nothing_of_a_message_stays_when_its_keys_are_forgotten() -> None:
    skeleton = transformed(content(html("".join(f"<{number}>" for number in range(100)))), Tracking())
    for number in range(100):
        assert html_for(skeleton, ADA, **{f"<{number}>": "*"}).count("*") == 1


class Wrong(Struct, frozen=True):
    """A transform whose answer is not allowed."""

    scope: SharedBy
    answer: Text | None

    def fields(self, _addressee: Addressee) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def change(self, text: Text) -> Text | None:
        return self.answer


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Wrong(SharedBy.REQUEST, Text("text/html", ("", ""), (Pixel(),))), "a place for each recipient"),
        (Wrong(SharedBy.RECIPIENT, Text("text/html", ("", ""), ("-n-",))), "keys that were not there"),
        (Wrong(SharedBy.RECIPIENT, None), "a text without keys"),
    ],
)
def test_a_transform_that_breaks_its_word_is_refused(wrong: Wrong, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        composed(transformed(content(html("x")), wrong), ADA)


def test_a_key_is_not_repeated_by_a_transform() -> None:
    twice = Wrong(SharedBy.RECIPIENT, Text("text/html", ("", "", ""), ("-n-", "-n-")))
    with pytest.raises(ValueError, match="keys that were not there"):
        composed(transformed(content(html("-n-")), twice), ADA, personalization(substitutions={"-n-": "x"}))


def test_a_copy_needs_a_recipient() -> None:
    with pytest.raises(ValueError, match="for a recipient"):
        composed(transformed(content(html("x")), Tracking()))


def test_pieces_that_do_not_fit_together() -> None:
    with pytest.raises(ValueError, match="2 literals cannot have 0 holes"):
        Text("text/html", ("a", "b"))
