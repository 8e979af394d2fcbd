"""Halving: an array that its endpoint refuses is posted in parts, so that one event does not keep back the others.

The first half, then the second, and each that is refused in halves again, down to single events. One bad event of a
thousand takes about twenty posts. An endpoint that takes no part at all gets only about half as many, and the parts are
bounded in number and in time: what is not posted is owed as before. No I/O of its own.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from actors.webhooks.poster import Posted

E = TypeVar("E")

MOST_PARTS = 48
"""Posts of parts of one array: enough for two bad events of a thousand."""
LONGEST_S = 20.0
"""The last part begins so long after the first. With the posts before and after, it is less than a lease."""
MOST_SINGLE = 2
"""Events that are refused on their own before the endpoint is taken to refuse everything."""


class Part(Struct, Generic[E], frozen=True):
    """What one post had, and what came of it."""

    events: Sequence[E]
    posted: Posted


async def posted_in_parts(
    events: Sequence[E], post: Callable[[Sequence[E]], Awaitable[Posted]], clock: Callable[[], float]
) -> list[Part[E]]:
    """Post events, and parts of them if they are refused together. Returns the posts in order. ``clock`` is monotonic,
    in seconds."""
    parts = [Part(events, await post(events))]
    until = clock() + LONGEST_S
    waiting = list(_halves(parts[0]))
    while waiting and len(parts) <= MOST_PARTS and clock() < until:
        some = waiting.pop()
        part = Part(some, await post(some))
        parts.append(part)
        result = part.posted.answer.result
        if not (result.is_taken or result.is_refused) or _refuses_everything(parts):
            break
        waiting += _halves(part)
    return parts


def not_taken(parts: Sequence[Part[E]]) -> Sequence[E]:
    """The events that no post had which was taken, in order. The first part has them all."""
    taken = {id(event) for part in parts if part.posted.answer.result.is_taken for event in part.events}
    return [event for event in parts[0].events if id(event) not in taken]


def _halves(part: Part[E]) -> Sequence[Sequence[E]]:
    """What to post of a part that was refused, the first last."""
    middle = len(part.events) // 2
    return (part.events[middle:], part.events[:middle]) if part.posted.answer.result.is_refused and middle else ()


def _refuses_everything(parts: Sequence[Part[E]]) -> bool:
    results = [part.posted.answer.result for part in parts]
    single = [len(part.events) == 1 and not part.posted.answer.result.is_unwritten for part in parts]
    return sum(single) >= MOST_SINGLE and not any(one.is_taken for one in results)
