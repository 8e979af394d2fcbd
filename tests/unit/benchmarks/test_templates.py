"""The messages of the templates scenario: they have the stated number of substitutions, and equal length."""

from email import message_from_bytes

import msgspec
import pytest

from api.send.request import MailSend
from api.send.validation import check
from benchmarks import order_letter
from benchmarks.composing import AT, order_kinds
from benchmarks.mail import Mail, Shape, SubstitutedLetter
from benchmarks.records import Repeat
from benchmarks.scenarios.templates import (
    COMPOSING,
    NONE,
    Templates,
    TemplatesOptions,
    TemplateVariant,
    compared,
    composed,
    letter,
)
from cluster.journal.records import decode_personalization
from cluster.message.substitution import substitute

SHAPE = Shape()
PLACES = 200
WAYS = [
    TemplateVariant(NONE, 0, 0),
    TemplateVariant("one key", 1, 7),
    TemplateVariant("few", 3, 6),
    TemplateVariant("many", 30, PLACES),
]


def values_of(letter: SubstitutedLetter, number: int) -> dict[str, str]:
    return msgspec.json.decode(letter.substitutions(number), type=dict[str, str])


def filled(letter: SubstitutedLetter, number: int) -> tuple[str, str]:
    values = values_of(letter, number)
    return substitute(letter.text, values), substitute(letter.html, values)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_letter_has_the_keys_and_places_that_it_says(way: TemplateVariant) -> None:
    made = letter(SHAPE, way, PLACES)
    keys = values_of(made, 1)
    whole = made.text + made.html
    assert len(keys) == way.keys
    assert sum(whole.count(key) for key in keys) == way.holes
    assert all(key in whole for key in keys)
    if way.holes:
        assert all("-key" in part for part in (made.text, made.html))
    assert "-key" not in "".join(filled(made, 1))


def test_letters_are_equally_long_once_they_are_filled_in() -> None:
    lengths = {tuple(map(len, filled(letter(SHAPE, way, PLACES), 12))) for way in WAYS}
    assert len(lengths) == 1
    ((text, html),) = lengths
    assert text == pytest.approx(SHAPE.text_bytes, rel=0.1)
    assert html == pytest.approx(SHAPE.html_bytes, rel=0.1)


def test_no_two_messages_are_filled_in_alike() -> None:
    made = letter(SHAPE, WAYS[-1], PLACES)
    assert filled(made, 1) != filled(made, 2)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_the_api_takes_them(way: TemplateVariant) -> None:
    mail = msgspec.json.decode(Mail(SHAPE, letter=letter(SHAPE, way, PLACES)).body([1, 2]), type=MailSend)
    assert not check(mail).faults
    assert len(mail.personalizations or ()) == 2


def test_the_ways_are_compared_with_the_plain_one() -> None:
    def repeat(delivered: float, cpu: float) -> Repeat:
        return Repeat(figures={"delivered": delivered, "CPU": cpu, "recorded": 1.0}, seconds=1.0)

    ways = {
        "none": (1000, 500),
        "few": (900, 600),
        "many": (500, 1000),
        "substituted": (800, 700),
        "stored": (760, 770),
    }
    figures = compared({name: repeat(*values) for name, values in ways.items()})
    assert (figures["delivered, few / none"], figures["CPU, many / none"]) == (0.9, 2.0)
    assert (figures["delivered, stored / substituted"], figures["CPU, stored / substituted"]) == (0.95, 1.1)
    figures |= composed({"substituted": 60.0, "stored": 100.0})
    assert figures[COMPOSING] == 40.0
    assert set(figures) == {measure.name for measure in Templates(TemplatesOptions()).measures}


@pytest.mark.parametrize("number", [6, 7])
def test_an_order_reads_the_same_stored_and_with_substitutions(number: int) -> None:
    kinds = order_kinds()
    bodies = []
    for kind in kinds.values():
        own = decode_personalization(kind.personalizations[number])
        made = kind.skeleton.compose(own, message_id="<m@mail.example.com>", date=AT)
        message = message_from_bytes(
            b"Content-Type: %b\r\n\r\n%b" % (dict(made.header_fields)[b"Content-Type"], made.body)
        )
        texts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
        bodies.append((dict(made.header_fields)[b"Subject"], texts))
    assert bodies[0] == bodies[1]
    plain, html = bodies[0][1]
    assert isinstance(plain, bytes) and isinstance(html, bytes)
    assert 4000 <= len(plain) + len(html) <= 6000
    assert (b"As a member" in plain) == (number % 2 == 0)  # the first message has number 1


def test_an_order_has_ten_values_a_list_of_five_and_a_condition() -> None:
    texts = order_letter.stored_texts()
    assert all(f"{{{{{name}}}}}" in texts.plain and f"{{{{{name}}}}}" in texts.html for name in order_letter.NAMES)
    assert len(order_letter.NAMES) == 10
    assert len(order_letter.data(1)["items"]) == 5
    assert all(text.count("{{#each") == text.count("{{#if") == 1 for text in (texts.plain, texts.html))
