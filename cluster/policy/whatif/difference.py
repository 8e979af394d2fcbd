"""What is different: counted, with examples. All of it is bounded, however much was replayed."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from msgspec import Struct

from cluster.policy.whatif.recorded import Reply

EXAMPLES = 3
MOST_KINDS = 1000
"""Kinds of a difference that are told apart; those that come later are counted together."""
LONGEST_SHOWN = 300
"""Characters of an example's reply."""

K = TypeVar("K", bound=Hashable)


class Example(Struct, frozen=True):
    """A recorded reply. It names no recipient: only the domain."""

    at: float
    site: str
    domain: str
    attempt: int
    said: str


class Counted(Struct):
    count: int = 0
    before: float = 0.0
    after: float = 0.0
    """Sums of what is counted besides, such as seconds of waiting."""
    examples: list[Example] = []


class Tally(Generic[K]):
    """Counts differences by their kinds."""

    def __init__(self) -> None:
        self.kinds: dict[K, Counted] = {}
        self.others = 0
        """Differences of kinds beyond ``MOST_KINDS``."""

    def add(self, kind: K, example: Reply | None = None, *, before: float = 0.0, after: float = 0.0) -> None:
        counted = self.kinds.get(kind)
        if counted is None:
            if len(self.kinds) >= MOST_KINDS:
                self.others += 1
                return
            counted = self.kinds[kind] = Counted(examples=[])
        counted.count += 1
        counted.before += before
        counted.after += after
        if example is not None and len(counted.examples) < EXAMPLES:
            counted.examples.append(example_of(example))

    def most(self) -> list[tuple[K, Counted]]:
        """The kinds, the most frequent first."""
        return sorted(self.kinds.items(), key=lambda one: -one[1].count)


def example_of(reply: Reply) -> Example:
    said = (reply.text or reply.reason)[:LONGEST_SHOWN]
    return Example(reply.at, reply.site, reply.domain, reply.attempt, said)
