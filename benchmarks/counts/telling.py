"""From observations on the wire to counts by name. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from benchmarks.counts.journal_dialogue import Transaction

Counts = dict[str, float]
Transactions = Sequence[Transaction]
LOOKUPS = frozenset({"key_by_hash", "is_verified_domain"})
"""Cached by an API process for some seconds: the number of repetitions depends on the speed of the machine."""
RARE = frozenset({"actors.offers", "files.fsync", "threads.hops"})


class Amounts(dict[str, float]):
    """Amounts by name; a missing one is 0."""

    def __sub__(self, other: Mapping[str, float]) -> "Amounts":
        return Amounts({name: self.get(name, 0) - other.get(name, 0) for name in self.keys() | other.keys()})

    def __mul__(self, factor: float) -> "Amounts":
        return Amounts({name: amount * factor for name, amount in self.items()})


class ObservedCounts(Struct, frozen=True, kw_only=True):
    """The transactions of each phase."""

    start: Transactions
    """While the parts start."""
    idle: Transactions
    """Without any mail."""
    busy: Transactions
    """While mail waits, but none moves."""
    single: Transactions
    """While requests with one message arrive."""
    bulk: Transactions
    """While requests with many messages arrive."""
    delivery: Transactions
    """From then until the end."""

    @property
    def by_the_clock(self) -> frozenset[str]:
        """The kinds of statements that occur without mail, or while none moves, or occasionally."""
        return LOOKUPS.union(*(one.work for one in (*self.start, *self.idle, *self.busy)))

    def ticks(self, transactions: Transactions) -> int:
        """How many of these are periodic."""
        return sum(one.work <= self.by_the_clock for one in transactions)

    def share_of_busy(self, transactions: Transactions) -> float:
        """How much periodic work is among these, as a multiple of that in ``busy``."""
        return self.ticks(transactions) / max(1, self.ticks(self.busy))


class CountedRun(Struct, frozen=True, kw_only=True):
    """The sizes of the run."""

    idle_s: float
    busy_s: float
    """How long ``idle`` and ``busy`` were, in seconds."""
    single: int
    bulk: int
    """Requests."""
    messages: int


def spread(amounts: Amounts, messages: int) -> Counts:
    """Amounts per message; per thousand messages for rare ones."""
    counts: Counts = {}
    for name in sorted(amounts):
        if name in RARE:
            counts[f"{name}_per_1000_messages"] = amounts[name] / messages * 1000
        else:
            counts[f"{name}_per_message"] = amounts[name] / messages
    return counts


def tell(seen: ObservedCounts, run: CountedRun, *, intake: str, delivery: str) -> Counts:
    """The counts of two parts' transactions that mail causes, by the names of the parts; and the periodic ones of all
    parts.

    Statements that also occur without mail count as periodic: a slow machine would make more of them.
    """

    def caused(part: str, *stretches: Transactions) -> list[Transaction]:
        found = (one for stretch in stretches for one in stretch if one.application == part)
        return [one for one in found if not one.work <= seen.by_the_clock]

    counts = _counted("intake.single", caused(intake, seen.single), run.single, "request")
    counts |= _counted("intake.bulk", caused(intake, seen.bulk), run.bulk, "request")
    whole = caused(delivery, seen.single, seen.bulk, seen.delivery)
    counts |= _counted("delivery", whole, run.messages / 1000, "1000_messages")
    for name, found, length_s in (("idle", seen.idle, run.idle_s), ("busy", seen.busy, run.busy_s)):
        counts[f"clock.{name}.statements_per_s"] = sum(len(one.statements) for one in found) / length_s
    return counts


def _counted(what: str, transactions: Transactions, units: float, unit: str) -> Counts:
    kinds = Counter(kind for one in transactions for kind in one.statements)
    return {
        f"{what}.transactions_per_{unit}": len(transactions) / units,
        f"{what}.round_trips_per_{unit}": sum(one.round_trips for one in transactions) / units,
        f"{what}.statements_per_{unit}": kinds.total() / units,
        **{f"{what}.{kind}_per_{unit}": times / units for kind, times in sorted(kinds.items())},
    }
