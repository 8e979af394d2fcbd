"""The messages of the templates scenario: they have the stated number of substitutions, and equal length."""

import msgspec
import pytest

from api.send.request import MailSend
from api.send.validation import check
from benchmarks.mail import Mail, Shape, SubstitutedLetter
from benchmarks.records import Repeat
from benchmarks.scenarios.templates import NONE, Templates, TemplatesOptions, TemplateVariant, compared, letter
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

    figures = compared({"none": repeat(1000, 500), "few": repeat(900, 600), "many": repeat(500, 1000)})
    assert (figures["delivered, few / none"], figures["CPU, many / none"]) == (0.9, 2.0)
    assert set(figures) == {measure.name for measure in Templates(TemplatesOptions()).measures}
