"""From what was seen on the way to counts by name. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from benchmarks.counts.journal_dialogue import Transaction

Counts = dict[str, float]
Transactions = Sequence[Transaction]
LOOKUPS = frozenset({"key_by_hash", "is_verified_domain"})
"""What an API process remembers for some seconds: how often it asks again depends on how slow the machine is."""
RARE = frozenset({"actors.offers", "files.fsync", "threads.hops"})


class Amounts(dict[str, float]):
    """Amounts by name; what is missing is none."""

    def __sub__(self, other: Mapping[str, float]) -> "Amounts":
        return Amounts({name: self.get(name, 0) - other.get(name, 0) for name in self.keys() | other.keys()})

    def __mul__(self, factor: float) -> "Amounts":
        return Amounts({name: amount * factor for name, amount in self.items()})


class Seen(Struct, frozen=True, kw_only=True):
    """The transactions of each stretch."""

    start: Transactions
    """While the parts started."""
    idle: Transactions
    """Without any mail."""
    busy: Transactions
    """With mail that waits, of which none moves."""
    single: Transactions
    """While requests with one message came."""
    bulk: Transactions
    """While requests with many came."""
    delivery: Transactions
    """From then until the end."""

    @property
    def by_the_clock(self) -> frozenset[str]:
        """The kinds of statements that are made without mail, or while none moves, or now and then."""
        return LOOKUPS.union(*(one.work for one in (*self.start, *self.idle, *self.busy)))

    def ticks(self, transactions: Transactions) -> int:
        """How many of these are the clock's."""
        return sum(one.work <= self.by_the_clock for one in transactions)


class Run(Struct, frozen=True, kw_only=True):
    """How much there was to see."""

    clock_s: float
    """How long ``idle`` and ``busy`` were."""
    single: int
    bulk: int
    """Requests."""
    messages: int


def spread(amounts: Amounts, messages: int) -> Counts:
    """Amounts over messages, by the thousand where a message has much less than one."""
    counts: Counts = {}
    for name in sorted(amounts):
        if name in RARE:
            counts[f"{name}_per_1000_messages"] = amounts[name] / messages * 1000
        else:
            counts[f"{name}_per_message"] = amounts[name] / messages
    return counts


def tell(seen: Seen, run: Run, *, intake: str, delivery: str) -> Counts:
    """Of two parts' transactions, by the names of the parts, those that mail causes; and what the clock causes of all.

    What is also made without mail is the clock's: it would be more on a slow machine.
    """

    def caused(part: str, *stretches: Transactions) -> list[Transaction]:
        found = (one for stretch in stretches for one in stretch if one.application == part)
        return [one for one in found if not one.work <= seen.by_the_clock]

    counts = _counted("intake.single", caused(intake, seen.single), run.single, "request")
    counts |= _counted("intake.bulk", caused(intake, seen.bulk), run.bulk, "request")
    whole = caused(delivery, seen.single, seen.bulk, seen.delivery)
    counts |= _counted("delivery", whole, run.messages / 1000, "1000_messages")
    for name, found in (("idle", seen.idle), ("busy", seen.busy)):
        counts[f"clock.{name}.statements_per_s"] = sum(len(one.statements) for one in found) / run.clock_s
    return counts


def _counted(what: str, transactions: Transactions, units: float, unit: str) -> Counts:
    kinds = Counter(kind for one in transactions for kind in one.statements)
    return {
        f"{what}.transactions_per_{unit}": len(transactions) / units,
        f"{what}.round_trips_per_{unit}": sum(one.round_trips for one in transactions) / units,
        f"{what}.statements_per_{unit}": kinds.total() / units,
        **{f"{what}.{kind}_per_{unit}": times / units for kind, times in sorted(kinds.items())},
    }
