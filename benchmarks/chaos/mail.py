"""The content of the load: requests of every shape, drawn from a seed. Pure.

Every address is used once, and contains its request and what the sink does with it. So every copy at the sink, every
event and every row can be traced to its request. A request carries its number as a category.
"""

from random import Random
from typing import Any

from msgspec import Struct

FROM = {"email": "chaos@mail.example.com", "name": "Chaos"}
"""In the demo tenant's verified domain."""
POISON_FROM = {"email": "poison@mail.example.com", "name": "Poison"}
DOMAINS = ("one.example.org", "two.example.org", "three.example.org", "four.example.org")
CATEGORY = "chaos-"

REFUSED_SHARE = 0.04
GREYLISTED_SHARE = 0.06
SCHEDULED_S = (6.0, 9.0)
"""How far ahead: the API sends a message at once if it is due within 5 s."""

TEXT = "Dear -name-,\n\nthis is message -number-. " + "All is well. " * 40 + "\n"
HTML = "<html><body><p>Dear -name-,</p><p>this is message -number-.</p>" + "<p>All is well.</p>" * 40 + "</body></html>"

POISON_LINE = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 12 + "\n"
POISON_TEXT = POISON_LINE * 1200
"""Nearly a megabyte, twice in the message: composing it takes some hundred ms."""


class RequestShape(Struct, frozen=True, kw_only=True):
    """A kind of request."""

    weight: int
    messages: tuple[int, int] = (1, 1)
    recipients: tuple[int, int] = (1, 1)
    scheduled: bool = False
    batch: bool = False


SHAPES = (
    RequestShape(weight=50),
    RequestShape(weight=15, recipients=(2, 6)),
    RequestShape(weight=5, messages=(20, 200)),
    RequestShape(weight=12, messages=(1, 6), scheduled=True),
    RequestShape(weight=14, messages=(2, 20), batch=True),
    RequestShape(weight=4, messages=(2, 6), recipients=(1, 3), batch=True, scheduled=True),
)


class RequestDraft(Struct, frozen=True, kw_only=True):
    """A request before it has a number: the fates of each message's recipients."""

    fates: tuple[tuple[str, ...], ...]
    delay_s: float | None
    batch: bool
    poison: bool = False

    @property
    def messages(self) -> int:
        return len(self.fates)


def draw(random: Random) -> RequestDraft:
    """The next random request."""
    (shape,) = random.choices(SHAPES, [shape.weight for shape in SHAPES])
    return RequestDraft(
        fates=tuple(
            tuple(_fate(random) for _ in range(random.randint(*shape.recipients)))
            for _ in range(random.randint(*shape.messages))
        ),
        delay_s=random.uniform(*SCHEDULED_S) if shape.scheduled else None,
        batch=shape.batch,
    )


def poison() -> RequestDraft:
    """A message that kills every actor that composes it. Scheduled, so that its id is known before it is composed."""
    return RequestDraft(fates=(("poison",),), delay_s=SCHEDULED_S[0] + 1, batch=False, poison=True)


def _fate(random: Random) -> str:
    chance = random.random()
    if chance < REFUSED_SHARE:
        return "no"
    return "later" if chance < REFUSED_SHARE + GREYLISTED_SHARE else "ok"


def recipients(draft: RequestDraft, number: int) -> list[list[str]]:
    """The addresses of each message of request ``number``."""
    return [
        [f"r{number}-{i}-{j}.{fate}@{DOMAINS[(number + i + j) % len(DOMAINS)]}" for j, fate in enumerate(fates)]
        for i, fates in enumerate(draft.fates)
    ]


def body(draft: RequestDraft, number: int, *, now: float, batch_id: str | None) -> dict[str, Any]:
    """The JSON of POST /v3/mail/send. ``now``: seconds since the epoch, the base of a scheduled request's delay."""
    told: dict[str, Any] = {
        "personalizations": [
            {
                "to": [{"email": address} for address in addresses],
                "substitutions": {"-name-": f"reader {i}", "-number-": f"{number}.{i}"},
            }
            for i, addresses in enumerate(recipients(draft, number))
        ],
        "from": POISON_FROM if draft.poison else FROM,
        "subject": "Message -number-",
        "content": [
            {"type": "text/plain", "value": POISON_TEXT if draft.poison else TEXT},
            {"type": "text/html", "value": f"<p>{POISON_TEXT}</p>" if draft.poison else HTML},
        ],
        "categories": [f"{CATEGORY}{number}"],
    }
    if draft.delay_s is not None:
        told["send_at"] = int(now + draft.delay_s)
    if batch_id is not None:
        told["batch_id"] = batch_id
    return told


def number_of(categories: list[str]) -> int | None:
    """The request's number, from its categories; None for a request of another sender."""
    return next((int(name.removeprefix(CATEGORY)) for name in categories if name.startswith(CATEGORY)), None)


def fate_of(address: str) -> str:
    """What the sink does with an address: ok, later (450 once), no (550), poison (always 450)."""
    return address.partition("@")[0].rpartition(".")[2]
