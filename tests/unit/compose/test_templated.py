"""Messages of stored templates: what they share is encoded once, and each has its own values."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from msgspec import Struct

from actors.compose import dkim, mime, parts
from actors.compose.holed import Filling
from actors.compose.mime import compile_content
from actors.compose.render import Renderer
from actors.compose.skeleton import Skeleton
from actors.compose.transform import Addressee, Growth, Hole, SharedBy, Text
from cluster.journal.records import BodyPart, Footer, PreparedPersonalization
from cluster.message.header_fields import NotComposable
from cluster.settings import MessageSettings
from cluster.templates.handlebars.errors import TooMuch
from tests.unit.compose.reading import (
    DATE,
    MESSAGE_ID,
    a_version,
    attachment,
    content,
    given,
    html,
    personalization,
    plain,
    sent,
    text_of,
    wire,
)

LETTER = a_version(
    subject="Order {{number}}",
    plain="Hello {{name}},\r\nyour order {{number}} left.\r\n\r\n-- \nÄcme\n",
    html="<html><body><p>Hello {{name}},</p>\r\n<p>your order {{number}} left. ä</p></body></html>",
)
ADA = given({"name": "Ada & Söhne", "number": 7})


def whole(renderer: Renderer, own: PreparedPersonalization) -> tuple[BodyPart, ...]:
    parts = renderer.render(own).parts
    return tuple(part.part() if isinstance(part, Filling) else part for part in parts)


def test_a_message_has_its_values_in_the_templates_texts() -> None:
    message = sent(content(), ADA, version=LETTER)
    assert message["Subject"] == "Order 7"
    assert text_of(message, "text/plain") == "Hello Ada & Söhne,\nyour order 7 left.\n\n-- \nÄcme\n"
    assert text_of(message, "text/html").rstrip("\n") == (
        "<html><body><p>Hello Ada &amp; Söhne,</p>\n<p>your order 7 left. ä</p></body></html>"
    )
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_messages_of_a_template_differ_in_nothing_but_their_values() -> None:
    for data in ({"name": "x" * 200, "number": "\r\n.\r\nFrom me \t\n"}, {"name": "--=_ab", "number": ""}, {}):
        message = sent(content(), given(data), version=LETTER)
        name, number = str(data.get("name", "")), str(data.get("number", ""))
        text = f"Hello {name},\nyour order {number} left.\n\n-- \nÄcme\n"
        assert text_of(message, "text/plain") == text.replace("\r\n", "\n")


_VALUES = st.text(st.characters(codec="utf-8"), max_size=200)


@drawn(_VALUES, _VALUES)
def test_any_value_arrives_as_in_a_content_of_the_same_text(name: str, number: str) -> None:
    own = given({"name": name, "number": number})
    parts = whole(Renderer(content(), version=LETTER), own)
    same = content(*parts, subject=f"Order {number}")
    message, other = sent(content(), own, version=LETTER), sent(same)
    for kind in ("text/plain", "text/html"):
        assert text_of(message, kind) == text_of(other, kind)
    assert message["Subject"] == other["Subject"]


def test_what_messages_share_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def noted(type_: str, *pieces: Any) -> parts.Form | None:
        made.append(type_)
        return parts.text_form(type_, *pieces)

    monkeypatch.setattr(mime, "text_form", noted)
    letter = a_version(plain="ä {{name}}", html="<p>ä {{name}}</p>")
    for number in range(6):
        # Of several requests, the second of which has a subject and a file.
        shared = content(subject=f"{number % 2}", attachments=(attachment(b"x"),) if number % 2 else ())
        skeleton = compile_content(shared, {sha256(b"x").digest(): b"x"}, version=letter)
        skeleton.compose(given({"name": f"N{number}"}), message_id=MESSAGE_ID, date=DATE)
    assert sorted(made) == ["text/html", "text/plain"]


def test_a_template_without_tags_is_a_content() -> None:
    fixed = a_version(subject="News", plain="Hello\r\nall", html="<p>Hello all</p>")
    renderer = Renderer(content(footer=Footer("F", "F")), version=fixed)
    same = Renderer(content(plain("Hello\r\nall"), html("<p>Hello all</p>"), subject="News", footer=Footer("F", "F")))
    for own in (personalization(), ADA):
        assert renderer.fill(own.template_data) is None
        said = renderer.render(own)
        assert said.parts is renderer.parts
        assert said.parts is renderer.shared
        assert said == same.render(own)
    skeleton = compile_content(content(), {}, version=fixed)
    bodies = [skeleton.compose(own, message_id=MESSAGE_ID, date=DATE).body for own in (ADA, personalization())]
    assert bodies[0] is bodies[1]


def test_messages_without_data_share_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    skeleton = compile_content(content(), {}, version=LETTER)
    hashed: list[bytes] = []

    def noted(body: bytes) -> bytes:
        hashed.append(body)
        return b""

    monkeypatch.setattr(dkim, "body_hash", noted)
    made = [skeleton.compose(personalization(), message_id=MESSAGE_ID, date=DATE) for _ in range(2)]
    assert made[0].body is made[1].body
    assert b"Hello ,\r\nyour order  left." in made[0].body
    assert dict(made[0].header_fields)[b"Subject"] == b"Order"
    for one in made:
        skeleton.body_hash(one.body)
    assert len(hashed) == 1
    own = skeleton.compose(ADA, message_id=MESSAGE_ID, date=DATE)
    assert own.body != made[0].body
    assert b"your order=20=\r\n7=\r\n left." in own.body


def test_parts_without_tags_are_shared() -> None:
    renderer = Renderer(content(), version=a_version(plain="Hello\n", html="<p>{{name}}</p>"))
    first, second = renderer.render(given({"name": "a"})).parts, renderer.render(given({"name": "b"})).parts
    assert first[0] is second[0]
    assert isinstance(first[1], Filling) and isinstance(second[1], Filling)
    assert first[1].cut is second[1].cut


@pytest.mark.parametrize(
    ("templates", "contents", "own", "said"),
    [
        ("T {{name}}", "content", "own", "T Ada"),
        ("T {{name}}", "", None, "T Ada"),
        ("{{missing}}", "content", "own", ""),
        ("fixed", "content", "own", "fixed"),
        ("", "content", "own", "own"),
        ("", "content", "", ""),
        ("", "content", None, "content"),
        (" ", "", None, ""),
    ],
)
@pytest.mark.parametrize("markup", ["<p>{{name}}</p>", "<p>x</p>"])
def test_the_templates_subject_takes_precedence(
    markup: str, templates: str, contents: str, own: str | None, said: str
) -> None:
    renderer = Renderer(content(subject=contents), version=a_version(subject=templates, html=markup))
    assert renderer.render(given({"name": "Ada"}, subject=own)).subject == said


def test_a_footer_is_behind_the_text_and_not_part_of_the_template() -> None:
    shared = content(footer=Footer("{{name}}", "<i>{{name}}</i>"))
    renderer = Renderer(shared, version=LETTER)
    text, markup = whole(renderer, ADA)
    assert text.value.endswith("-- \nÄcme\n{{name}}")
    assert markup.value.endswith("left. ä</p><i>{{name}}</i></body></html>")
    assert all(part.cut.pieces() is not None for part in renderer.render(ADA).parts if isinstance(part, Filling))


@pytest.mark.parametrize(
    ("text", "markup", "filled"),
    [
        ("{{x}}", "{{{x}}}", ("v</body>\nF", "vF</body>")),
        ("{{x}}.\n", "<p>{{{x}}}</p>", ("v</body>.\nF", "<p>vF</body></p>")),
        ("a {{x}}.", "{{x}}</body></html>", ("a v</body>.\nF", "v&lt;/body&gt;F</body></html>")),
    ],
)
def test_a_footers_place_may_depend_on_the_values(text: str, markup: str, filled: tuple[str, str]) -> None:
    shared, own = content(footer=Footer("F", "F")), given({"x": "v</body>"})
    template = a_version(plain=text, html=markup)
    assert tuple(part.value for part in whole(Renderer(shared, version=template), own)) == filled
    wire(shared, own, version=template)


def test_a_legacy_template_is_filled_with_substitutions() -> None:
    legacy = a_version(
        generation="legacy", subject="Hi -name- {{name}}", plain="{{name}} -name-", html="<p>-name-</p>{{#each x}}"
    )
    own = personalization(subject="own", substitutions={"-name-": "Ada"}, template_data=b'{"name":"no"}')
    message = sent(content(subject="content"), own, version=legacy)
    assert message["Subject"] == "Hi Ada {{name}}"
    assert text_of(message, "text/plain").rstrip("\n") == "{{name}} Ada"
    assert text_of(message, "text/html").rstrip("\n") == "<p>Ada</p>{{#each x}}"


def test_a_template_with_a_subject_alone_says_an_empty_text() -> None:
    message = sent(content(), ADA, version=a_version(subject="Order {{number}}"))
    assert message["Subject"] == "Order 7"
    assert text_of(message, "text/plain") == ""


def test_beyond_the_bounds_the_message_fails_and_others_do_not() -> None:
    heavy = a_version(html="{{#each items}}{{#each ../items}}{{this}}{{/each}}{{/each}}")
    skeleton = compile_content(content(), {}, version=heavy)
    with pytest.raises(NotComposable, match=r"100,?000"):
        skeleton.compose(given({"items": [1] * 400}), message_id=MESSAGE_ID, date=DATE)
    with pytest.raises(TooMuch):
        skeleton.fill(given({"items": [1] * 20}).template_data, steps=100)
    with pytest.raises(TooMuch):
        skeleton.fill(given({"items": ["x" * 100] * 20}).template_data, output=1000)
    made = skeleton.compose(given({"items": [1, 2]}), message_id=MESSAGE_ID, date=DATE)
    assert made.body.strip() == b"1212"


def test_what_was_filled_before_is_not_filled_again() -> None:
    skeleton = compile_content(content(), {}, version=LETTER)
    filled = skeleton.fill(ADA.template_data)
    own = given({"name": "not used"})
    made = skeleton.compose(own, message_id=MESSAGE_ID, date=DATE, filled=filled)
    assert b"S=C3=B6hne" in made.body
    assert b"not used" not in made.body


def test_values_are_measured_before_the_message_is_made() -> None:
    limits = MessageSettings(max_part_bytes=1000)
    skeleton = compile_content(content(), {}, limits, version=LETTER)
    with pytest.raises(NotComposable, match=r"a text has [0-9]+ bytes, more than 1000"):
        skeleton.compose(given({"name": "é" * 600}), message_id=MESSAGE_ID, date=DATE)
    with pytest.raises(NotComposable, match="the subject has"):
        skeleton.compose(given({"number": "9" * 99_999}), message_id=MESSAGE_ID, date=DATE)
    skeleton.compose(ADA, message_id=MESSAGE_ID, date=DATE)


class Pixel(Struct, frozen=True):
    @property
    def growth(self) -> Growth:
        return Growth(100)

    def fill(self, addressee: Addressee, values: Any) -> str:
        return f"<img src={addressee.email} alt={len(values)}>"


class Tracking:
    """A pixel at the end of each html part; ``blind``: it asks for whole texts."""

    scope = SharedBy.RECIPIENT

    def __init__(self, *, blind: bool = False) -> None:
        self.seen: list[Text] = []
        self._blind = blind

    def fields(self, _addressee: Addressee) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def change(self, text: Text) -> Text | None:
        self.seen.append(text)
        if self._blind and text.holes:
            return None
        holes: tuple[Hole, ...] = (*text.holes, Pixel())
        return Text(text.type, (*text.literals, ""), holes) if text.type == "text/html" else text


@pytest.mark.parametrize("blind", [False, True])
def test_a_transform_takes_part(blind: bool) -> None:
    tracking = Tracking(blind=blind)
    skeleton = compile_content(content(), {}, transform=tracking, version=LETTER)
    for number in (1, 2):
        own = given({"name": "Ada", "number": number})
        made = skeleton.compose(
            own, message_id=MESSAGE_ID, date=DATE, addressee=Addressee("msg_01", 0, "ada@example.net")
        )
        assert b"<img src=3Dada@example.net" in made.body
        assert b"Ada" in made.body
    assert len(tracking.seen) == (6 if blind else 2)  # blind: whole texts, for each message
    unaddressed = compile_content(content(), {}, transform=Tracking(), version=LETTER)
    with pytest.raises(ValueError, match="composed for a recipient"):
        unaddressed.compose(own, message_id=MESSAGE_ID, date=DATE)


def test_growth_is_that_of_the_values_and_the_transform() -> None:
    skeleton = compile_content(content(), {}, version=LETTER)
    filled = skeleton.fill(given({"name": "x" * 1000}).template_data)
    grown = skeleton.growth(ADA, 0, filled)
    assert grown is not None and 2000 <= grown <= 8100  # the name is in two parts
    tracked = compile_content(content(), {}, transform=Tracking(), version=LETTER)
    more = tracked.growth(ADA, 0, filled)
    assert more is not None and grown + 100 <= more <= grown + 200
    assert isinstance(tracked, Skeleton)


def test_bodies_depend_on_the_version_alone() -> None:
    """So two attempts at a message make the same body, whichever actor makes them."""
    bodies = {
        dkim.body_hash(
            compile_content(content(), {}, version=LETTER).compose(ADA, message_id=MESSAGE_ID, date=DATE).body
        )
        for _ in range(2)
    }
    assert len(bodies) == 1
