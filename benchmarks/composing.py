"""What composing costs in this process: messages of several kinds, in many short rounds in turn, so that all of them
meet the same machine. Unsigned: a signature costs the same for each kind, and ten times as much as the differences.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from statistics import median

import msgspec
from msgspec import Struct

from actors.compose.message import draft_message
from actors.compose.mime import compile_content
from actors.compose.skeleton import Skeleton
from actors.compose.templated import Version
from actors.compose.tracking.transform import TrackingTransform
from actors.compose.transform import Addressee
from benchmarks.mail import FROM
from benchmarks.order_letter import data, linked_texts, stored_texts, substituted, substitutions
from cluster.ids import new_id
from cluster.journal.records import (
    Address,
    BodyPart,
    Content,
    PreparedPersonalization,
    decode_personalization,
    encode,
)
from cluster.templates.compiled import compile_texts
from cluster.tracking.choices import Tracking, UnsubscribeText
from cluster.tracking.tokens import KEY_BYTES, TokenKey

LINKS = 8
MESSAGES = 100
"""Messages of each kind in a round: some tens of milliseconds."""
AT = datetime(2026, 5, 1, tzinfo=UTC)


class ComposedKind(Struct, frozen=True):
    """A request's skeleton, and the encoded personalizations of its messages."""

    skeleton: Skeleton
    personalizations: Sequence[bytes]
    addressees: Sequence[Addressee] = ()
    """Of tracked messages."""


def order_kinds() -> dict[str, ComposedKind]:
    """The order letter, by name: of a stored template, and with substitutions."""
    sender, letter = Address(FROM["email"], FROM["name"]), substituted()
    parts = (BodyPart("text/plain", letter.text), BodyPart("text/html", letter.html))
    content = Content(from_=sender, subject=letter.subject, parts=parts)
    numbers = range(1, MESSAGES + 1)
    return {
        "substituted": ComposedKind(
            compile_content(content, {}),
            [encode(_to(number, substitutions=substitutions(number))) for number in numbers],
        ),
        "stored": ComposedKind(
            compile_content(Content(from_=sender), {}, version=Version(compile_texts(stored_texts()))),
            [encode(_to(number, template_data=msgspec.json.encode(data(number)))) for number in numbers],
        ),
    }


def tracked_kinds() -> dict[str, ComposedKind]:
    """The order letter of a stored template with links, by name: as it is, and with everything that tracking does."""
    version = Version(compile_texts(linked_texts(LINKS)))
    sender = Address(FROM["email"], FROM["name"])
    tracking = Tracking(
        base_url="https://links.example.com", tenant_number=1, opens=True, clicks=True, subscription=UnsubscribeText()
    )
    numbers = range(1, MESSAGES + 1)
    personalizations = [encode(_to(number, template_data=msgspec.json.encode(data(number)))) for number in numbers]
    transform = TrackingTransform(tracking, TokenKey(1, bytes(KEY_BYTES)))
    content = Content(from_=sender, tracking=tracking)
    return {
        "untracked": ComposedKind(compile_content(Content(from_=sender), {}, version=version), personalizations),
        "tracked": ComposedKind(
            compile_content(content, {}, transform=transform, version=version),
            personalizations,
            [Addressee(new_id("msg_"), 0, f"reader{number}@example.org") for number in numbers],
        ),
    }


def costs(kinds: Mapping[str, ComposedKind], rounds: int) -> dict[str, float]:
    """µs of CPU for a message of each kind, from its stored form to what is signed: the median of the rounds. A first
    round is not counted, in which what messages share is made."""
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(1 + rounds):
        for name, kind in kinds.items():
            began = time.process_time()
            compose(kind)
            took[name].append((time.process_time() - began) / len(kind.personalizations) * 1e6)
    return {name: median(found[1:]) for name, found in took.items()}


def compose(kind: ComposedKind) -> None:
    """Compose each message once."""
    for encoded, addressee in zip_longest(kind.personalizations, kind.addressees):
        own = decode_personalization(encoded)
        draft_message(
            kind.skeleton,
            own,
            None,
            message_id="<m@mail.example.com>",
            date=AT,
            signed_at=AT,
            addressee=addressee,
        )


def _to(
    number: int, *, substitutions: dict[str, str] | None = None, template_data: bytes = b""
) -> PreparedPersonalization:
    to = (Address(f"reader{number}@example.org", f"Reader {number}"),)
    return PreparedPersonalization(to=to, substitutions=substitutions or {}, template_data=template_data)
