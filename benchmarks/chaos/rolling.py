"""A rolling change: when which node changes its release, and how late mail may be meanwhile. Pure.

Each change takes the node that has been there longest, and gives it the release that it has not. So the nodes change
one after the other to the later release, and then one after the other back.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from benchmarks.chaos.faults import CALM_S, ChaosFault, FaultKind
from benchmarks.chaos.mail import fate_of
from benchmarks.chaos.records import Stored
from benchmarks.series import percentile
from benchmarks.sink_log import Line, Receipt

EVERY_S = 90.0
"""At least so long from one change to the next, where all nodes change and change back."""
LEAST_EVERY_S = 45.0
"""In a run that is too short for that: a change takes some 30 s."""
SIDE_BY_SIDE_S = 5.0
"""Mail flows for so long when the last change is done."""
MOST_LATE_S = 5.0
"""99 of 100 copies."""
TAKEN_AT_ONCE = ("ok", "returned", "complains")
"""The fates of recipients that the sink refuses at no attempt."""


def rolling(seconds: float, nodes: int) -> list[ChaosFault]:
    """The changes of a run, evenly spread: whole rounds there and back, or as many as there is time for; one at
    least."""
    there_and_back = 2 * nodes
    count = int(seconds / (there_and_back * EVERY_S)) * there_and_back or max(1, int(seconds / LEAST_EVERY_S))
    return [
        ChaosFault(round(CALM_S + number * seconds / count, 2), FaultKind.CHANGE_RELEASE, 0.0, 0.0)
        for number in range(count)
    ]


class Lateness(Struct, frozen=True, kw_only=True):
    """How long after it was accepted, or after its send time, mail was at the host; in seconds."""

    copies: int
    """One for each recipient that the host takes at the first attempt."""
    p50_s: float
    p99_s: float
    most_s: float


class Rolled(Struct, frozen=True, kw_only=True):
    """What a rolling change has to show beside the verdict."""

    changes: int
    """Nodes that came back with another release."""
    requests: int
    """In the journal."""
    written_by_later: int
    """Those that an API process of the later release has accepted."""
    lateness: Lateness


def lateness(stored: Sequence[Stored], sink: Sequence[Line]) -> Lateness:
    """Of the first copies at the sink."""
    found = sorted(_late(stored, sink))
    if not found:
        return Lateness(copies=0, p50_s=0.0, p99_s=0.0, most_s=0.0)
    p50, p99 = (round(percentile(found, part), 3) for part in (0.5, 0.99))
    return Lateness(copies=len(found), p50_s=p50, p99_s=p99, most_s=round(found[-1], 3))


def one_sided(rolled: Rolled) -> list[str]:
    """What shows that the releases did not work side by side."""
    found = []
    if not rolled.changes:
        found.append("no node changed its release")
    if not 0 < rolled.written_by_later < rolled.requests:
        found.append(f"{rolled.written_by_later} of {rolled.requests} requests were accepted by the later release")
    return found


def _late(stored: Sequence[Stored], sink: Sequence[Line]) -> Iterator[float]:
    due = {message.message_id: message.claimed_after for message in stored}
    first: dict[tuple[str, str], float] = {}
    for line in sink:
        if isinstance(line, Receipt) and line.accepted:
            for recipient in line.recipients:
                copy = line.message_id, recipient
                first[copy] = min(line.at, first.get(copy, line.at))
    for (message_id, recipient), at in first.items():
        if fate_of(recipient) in TAKEN_AT_ONCE and message_id in due:
            yield at - due[message_id]


def too_late(found: Lateness) -> list[str]:
    """Whether mail was late: the reason, or nothing."""
    if found.copies and found.p99_s <= MOST_LATE_S:
        return []
    return [f"99 of 100 copies ({found.copies} in all) came within {found.p99_s:.1f} s, not within {MOST_LATE_S:g}"]
