"""The templates scenario: the cost of personalization, from an HTTP request to the sink.

One letter in three variants, in turn: without substitutions, with a few places that are filled in for each message, and
with many. A message has the same length in all of them, so that they differ in nothing else. The legacy substitutions
of SendGrid's API are used, which replace literal text. Then an order confirmation in two variants (order_letter.py):
with substitutions, and of a stored template with a list and a condition. For these two the cost of composing is
measured as well, in this process.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from benchmarks import order_letter
from benchmarks.client import Client
from benchmarks.composing import costs, order_kinds
from benchmarks.mail import Mail, Shape, SubstitutedLetter
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.blast import Options
from benchmarks.scenarios.in_turn import InTurn, together
from benchmarks.scenarios.sending import COUNTED, Messages, SendingWorld
from cluster.templates.texts import TemplateTexts

WIDTH = 8
"""Characters of a value, and of the word in its place when nothing is filled in."""
NUMBER = "#####"
"""The place of the message's number in a value."""
SENTENCE = "This says nothing, at a length that the sentences of letters have, and ends here. "

Keys = Annotated[int, Meta(ge=1, le=200)]
Holes = Annotated[int, Meta(ge=2, le=5000)]


class TemplatesOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 15_000
    few_keys: Annotated[Keys, Meta(description="Keys of the letter with a few.")] = 3
    few_holes: Annotated[Holes, Meta(description="Places that it fills in, over both parts.")] = 6
    many_keys: Annotated[Keys, Meta(description="Keys of the letter with many.")] = 30
    many_holes: Annotated[Holes, Meta(description="Places that it fills in, over both parts.")] = 200


class TemplateVariant(Struct, frozen=True):
    """A variant: the number of keys, and the number of places that they fill."""

    name: str
    keys: int
    holes: int


NONE = "none"
SUBSTITUTED, STORED = "substituted", "stored"
"""The order confirmation with substitutions, and of a stored template."""
COMPOSING = "composing, stored - substituted"
ROUNDS = 50
"""Rounds of composing: about a second."""


class Templates:
    """The templates scenario."""

    name = "templates"
    title = "One letter with nothing filled in, with a few places, and with many; an order of a stored template"
    notes = (
        COUNTED,
        "The ways are measured in turn, each repeat beginning with another; a letter is equally long in all. Filled "
        "in are SendGrid's legacy substitutions, but for the stored template: of 4 to 6 KB, with ten values, a list of "
        "five and a condition. Beside it stands the same mail with substitutions, of which list and paragraph are two.",
        "composing: from a stored message to what is signed, without signatures, in this process.",
    )

    def __init__(self, options: TemplatesOptions) -> None:
        self.settings = options
        self._ways = (
            TemplateVariant(NONE, 0, 0),
            TemplateVariant("few", options.few_keys, options.few_holes),
            TemplateVariant("many", options.many_keys, options.many_holes),
        )
        places = max(way.holes for way in self._ways)
        self._mails = {way.name: Mail(options.shape, letter=letter(options.shape, way, places)) for way in self._ways}
        self._mails[SUBSTITUTED] = Mail(options.shape, letter=order_letter.substituted())
        self._names = (*self._mails, STORED)
        self._kinds = order_kinds()
        self._sending = SendingWorld(options)
        self._in_turn = InTurn(self._sending, options)

    @property
    def measures(self) -> tuple[Measure, ...]:
        beside = [(way.name, NONE) for way in self._ways if way.name != NONE]
        return (
            *(Measure(f"delivered, {name}", "msg/s", Better.HIGHER) for name in self._names),
            *(Measure(f"CPU, {name}", "µs/msg", Better.LOWER) for name in self._names),
            *(Measure(f"delivered, {name} / {other}", "times", Better.HIGHER) for name, other in beside),
            *(Measure(f"CPU, {name} / {other}", "times", Better.LOWER) for name, other in beside),
            Measure(f"delivered, {STORED} / {SUBSTITUTED}", "times", Better.HIGHER, 0.9),
            Measure(f"CPU, {STORED} / {SUBSTITUTED}", "times", Better.LOWER),
            Measure(f"composing, {SUBSTITUTED}", "µs/msg", Better.LOWER),
            Measure(f"composing, {STORED}", "µs/msg", Better.LOWER),
            Measure(COMPOSING, "µs/msg", Better.LOWER, 60.0),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        template_id = await stored_template(self._sending.world.postray.url, self._sending.world.postray.key)
        self._mails[STORED] = Mail(self.settings.shape, letter=order_letter.stored(template_id))

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        found = await self._in_turn.measure(self._mails, share, tell)
        return together(found, compared(found) | composed(costs(self._kinds, ROUNDS)), STORED)


async def stored_template(url: str, key: str, texts: TemplateTexts | None = None) -> str:
    """Make a template over the API, by default the order confirmation's; returns its id."""
    client, texts = Client(url, key), texts or order_letter.stored_texts()
    made = await client.post("/v3/templates", {"name": "Order", "generation": "dynamic"})
    template_id: str = made.json()["id"]
    version = {
        "name": "First",
        "active": 1,
        "subject": texts.subject,
        "html_content": texts.html,
        "plain_content": texts.plain,
    }
    answer = await client.post(f"/v3/templates/{template_id}/versions", version)
    assert answer.status == 201, answer
    return template_id


def compared(found: Mapping[str, Repeat]) -> dict[str, float]:
    """The figures of each variant, and the ratios: to the letter without substitutions, and of the stored template to
    the same with substitutions."""
    figures: dict[str, float] = {}
    for name, repeat in found.items():
        other = {NONE: None, SUBSTITUTED: None, STORED: SUBSTITUTED}.get(name, NONE)
        for what in ("delivered", "CPU"):
            figures[f"{what}, {name}"] = repeat.figures[what]
            if other is not None:
                figures[f"{what}, {name} / {other}"] = repeat.figures[what] / found[other].figures[what]
    return figures


def composed(costs: Mapping[str, float]) -> dict[str, float]:
    """The figures of composing, from the costs of each kind."""
    figures = {f"composing, {name}": cost for name, cost in costs.items()}
    return figures | {COMPOSING: costs[STORED] - costs[SUBSTITUTED]}


def letter(shape: Shape, way: TemplateVariant, places: int) -> SubstitutedLetter:
    """A letter with ``places`` possible places, of which ``way`` fills in its number, spread evenly; the others contain
    a word as long as the values."""
    in_text = min(max(1, places * shape.text_bytes // max(1, shape.text_bytes + shape.html_bytes)), places - 1)
    keys = itertools.cycle(range(way.keys))
    words = [_key(next(keys)) if _fills(place, places, way.holes) else "x" * WIDTH for place in range(places)]
    return SubstitutedLetter(
        subject="A letter in some words",
        text=_body(words[:in_text], shape.text_bytes, "{}\n\n"),
        html=_body(words[in_text:], shape.html_bytes, "<p>{}</p>"),
        substitutions=partial(_substitutions, "{" + ",".join(map(_pair, range(way.keys))) + "}"),
    )


def _substitutions(pattern: str, number: int) -> str:
    return pattern.replace(NUMBER, f"{number % 100_000:05d}")


def _pair(key: int) -> str:
    return f'"{_key(key)}":"{key:03d}{NUMBER}"'


def _fills(place: int, places: int, holes: int) -> bool:
    """Whether this place is one of the holes."""
    return (place + 1) * holes // places > place * holes // places


def _key(key: int) -> str:
    return f"-key{key}-"


def _body(words: Sequence[str], size: int, paragraph: str) -> str:
    """One paragraph per word, with ``size`` characters in total once the words are as long as values."""
    room = max(0, size // len(words) - len(paragraph.format("")) - WIDTH - 1)
    rest = (SENTENCE * (room // len(SENTENCE) + 1))[:room].rstrip()
    return "".join(paragraph.format(f"{word} {rest}") for word in words)
