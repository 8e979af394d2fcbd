"""The content of the load: requests and submitted messages of every shape, drawn from a seed. Pure.

An address contains what the sink does with it. All but those of subscribers are used once, and contain their request.
Subscribers get tracked mail again and again, half of them mail of a group: so there is mail that is still to be claimed
when one unsubscribes. A request carries its number as a category, so every message can be traced to it.
"""

import json
from email.message import EmailMessage
from email.policy import SMTP
from random import Random
from typing import Any

from msgspec import Struct

FROM = {"email": "chaos@mail.example.com", "name": "Chaos"}
"""In the demo tenant's verified domain."""
POISON_FROM = {"email": "poison@mail.example.com", "name": "Poison"}
DOMAINS = ("one.example.org", "two.example.org", "three.example.org", "four.example.org")
CATEGORY = "chaos-"
FIRST_OF_PAST = 1_000_000
"""The numbers of requests of past days (``past.py``) begin here."""

FATES = {"no": 0.04, "later": 0.06, "returned": 0.06, "complains": 0.03}
"""The shares of the fates that few recipients have; all others are "ok" (``fate_of``)."""
SCHEDULED_S = (6.0, 9.0)
"""How far ahead: the API sends a message at once if it is due within 5 s."""

SUBSCRIBERS = 60
"""Of either kind: of the group, and of mail with an unsubscribe link."""
TRACKING = {"open_tracking": {"enable": True}, "click_tracking": {"enable": True}}
LINK = "https://shop.example.com/offers?of=-number-"
TRACKED_HTML = (
    f'<html><body><p>Dear -name-, <a href="{LINK}">see</a> <a href="{LINK}&amp;more=1">more</a>.</p></body></html>'
)

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
    tracked: bool = False
    """To subscribers."""
    submitted: bool = False
    """By SMTP."""


SHAPES = (
    RequestShape(weight=50),
    RequestShape(weight=15, recipients=(2, 6)),
    RequestShape(weight=5, messages=(20, 200)),
    RequestShape(weight=12, messages=(1, 6), scheduled=True),
    RequestShape(weight=14, messages=(2, 20), batch=True),
    RequestShape(weight=4, messages=(2, 6), recipients=(1, 3), batch=True, scheduled=True),
    RequestShape(weight=20, messages=(1, 6), tracked=True),
    RequestShape(weight=6, messages=(2, 8), tracked=True, batch=True, scheduled=True),
    RequestShape(weight=30, recipients=(1, 3), submitted=True),
    RequestShape(weight=20, batch=True, submitted=True),
    RequestShape(weight=5, batch=True, scheduled=True, submitted=True),
)


class RequestDraft(Struct, frozen=True, kw_only=True):
    """A request before it has a number: the fates of each message's recipients."""

    fates: tuple[tuple[str, ...], ...]
    delay_s: float | None
    batch: bool
    poison: bool = False
    subscribers: tuple[int, ...] = ()
    """Who gets each message, if it is tracked mail. All even: of the group; all odd: others."""
    submitted: bool = False
    """By SMTP: one message."""

    @property
    def messages(self) -> int:
        return len(self.fates)


def draw(random: Random) -> RequestDraft:
    """The next random request."""
    (shape,) = random.choices(SHAPES, [shape.weight for shape in SHAPES])
    messages = random.randint(*shape.messages)
    kind = random.randrange(2)
    return RequestDraft(
        fates=tuple(
            ("ok",) if shape.tracked else tuple(_fate(random) for _ in range(random.randint(*shape.recipients)))
            for _ in range(messages)
        ),
        subscribers=tuple(random.sample(range(kind, 2 * SUBSCRIBERS, 2), messages)) if shape.tracked else (),
        delay_s=random.uniform(*SCHEDULED_S) if shape.scheduled else None,
        batch=shape.batch,
        submitted=shape.submitted,
    )


def draw_past(random: Random, messages: tuple[int, int]) -> RequestDraft:
    """The next random request of a past day."""
    fates = tuple((_fate(random),) for _ in range(random.randint(*messages)))
    return RequestDraft(fates=fates, delay_s=None, batch=False)


def poison() -> RequestDraft:
    """A message that kills every actor that composes it. Scheduled, so that its id is known before it is composed."""
    return RequestDraft(fates=(("poison",),), delay_s=SCHEDULED_S[0] + 1, batch=False, poison=True)


def _fate(random: Random) -> str:
    chance = random.random()
    for fate, share in FATES.items():
        chance -= share
        if chance < 0:
            return fate
    return "ok"


def recipients(draft: RequestDraft, number: int) -> list[list[str]]:
    """The addresses of each message of request ``number``."""
    if draft.subscribers:
        return [[f"s{subscriber}.ok@{DOMAINS[subscriber % len(DOMAINS)]}"] for subscriber in draft.subscribers]
    return [
        [f"r{number}-{i}-{j}.{fate}@{DOMAINS[(number + i + j) % len(DOMAINS)]}" for j, fate in enumerate(fates)]
        for i, fates in enumerate(draft.fates)
    ]


def body(
    draft: RequestDraft, number: int, *, now: float, batch_id: str | None, group_id: int | None = None
) -> dict[str, Any]:
    """The JSON of POST /v3/mail/send. ``now``: seconds since the epoch, the base of a scheduled request's delay.
    ``group_id``: the group of tracked mail."""
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
    if draft.subscribers:
        told["content"][1]["value"] = TRACKED_HTML
        told["tracking_settings"] = dict(TRACKING)
        if is_in_group(told["personalizations"][0]["to"][0]["email"]):
            told["asm"] = {"group_id": group_id}
        else:
            told["tracking_settings"]["subscription_tracking"] = {"enable": True}
    if draft.delay_s is not None:
        told["send_at"] = int(now + draft.delay_s)
    if batch_id is not None:
        told["batch_id"] = batch_id
    return told


def submission(draft: RequestDraft, number: int, *, now: float, batch_id: str | None) -> bytes:
    """The message (RFC 5322) of a submitted draft; its recipients are those of the envelope. ``now`` as in ``body``."""
    settings: dict[str, Any] = {"category": f"{CATEGORY}{number}"}
    if draft.delay_s is not None:
        settings["send_at"] = int(now + draft.delay_s)
    if batch_id is not None:
        settings["batch_id"] = batch_id
    message = EmailMessage(policy=SMTP)
    message["From"] = FROM["email"]
    message["To"] = "undisclosed-recipients:;"
    message["Subject"] = f"Message {number}"
    message["Message-ID"] = f"<{CATEGORY}{number}@mail.example.com>"
    message["X-SMTPAPI"] = json.dumps(settings)
    message.set_content(TEXT.replace("-name-", "reader").replace("-number-", str(number)))
    return message.as_bytes()


def number_of(categories: list[str]) -> int | None:
    """The request's number, from its categories; None for a request of another sender."""
    return next((int(name.removeprefix(CATEGORY)) for name in categories if name.startswith(CATEGORY)), None)


def past_number(address: str) -> int | None:
    """The number of the request of a past day whose message goes to this address; None for other mail."""
    name = address.partition("-")[0].removeprefix("r")
    return int(name) if name.isdecimal() and int(name) >= FIRST_OF_PAST else None


def is_in_group(subscriber: str) -> bool:
    """Whether a subscriber's address gets mail of the group."""
    return int(subscriber.partition(".")[0].removeprefix("s")) % 2 == 0


def fate_of(address: str) -> str:
    """What the sink does with an address: ok, later (450 once), no (550), poison (always 450), returned (it takes the
    mail, and reports a failure later), complains (a complaint comes later)."""
    return address.partition("@")[0].rpartition(".")[2]
