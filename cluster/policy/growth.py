"""How many nodes a cluster wants, by what its delivery actors can and how late its mail is; and which node may go.

The supervisor asks every few seconds and performs what comes out (``actors/growing.py``). A node more is wanted when
mail is late *and* processes are the reason: it is late at actors that do all they can, where no limit of a site or a
tenant holds it, and the others could not take it over, since together they are nearly as busy. Mail that waits for a
host, a limit or a retry makes no actor busy, and asks for nothing.

A node less is wanted when the others would do for a long time. The bounds for both are far apart, a change is followed
by a time in which it shows, and a node on its way out is taken back first: a load that comes and goes keeps its nodes.
Pure: times are arguments, in seconds of any one clock.
"""

from collections.abc import Callable, Sequence
from math import ceil, inf

from msgspec import Struct
from msgspec.structs import replace

AT_LIMIT = 0.85
"""An actor that uses this part of what it can has no more to give: a claim waits behind others."""
NEARLY_ALL = 0.7
"""With less than this in use on average, there are actors that could take mail over; the balance sees to it."""
WOULD_DO = 0.5
"""Fewer nodes would do when they would use at most this part of what they can. Far below ``NEARLY_ALL``: otherwise the
node that goes would soon be asked for again."""
PART = 4
"""So many nodes ask for one more at a time; more nodes for as many times more."""
SETTLE_S = 60.0
"""After a change of nodes: until the balance has moved sites there and what actors use has followed."""


class Terms(Struct, frozen=True, kw_only=True):
    """What the operator allows. ``grow_after_s``: so late may mail be. ``shrink_after_s``: for so long fewer nodes must
    do before one goes."""

    min_nodes: int
    max_nodes: int
    grow_after_s: float
    shrink_after_s: float


class Used(Struct, frozen=True):
    """A delivery actor: the part of what it can that it uses, and how late mail is there that no limit holds."""

    use: float
    late_s: float = 0.0


class Sender(Struct, frozen=True, kw_only=True):
    """A live node on which delivery actors belong, and those of them that have told what they use."""

    id: str
    actors: tuple[Used, ...] = ()
    is_out: bool = False
    """Whether an operator has drained it or taken it out."""

    @property
    def use(self) -> float | None:
        """None: not known yet."""
        return sum(one.use for one in self.actors) / len(self.actors) if self.actors else None


class Growth(Struct, frozen=True, kw_only=True):
    """What was decided, and since when what holds. The supervisor keeps it."""

    wanted: int = 0
    """Nodes that are to send, those that operators keep out among them; 0: nothing was decided yet."""
    going: str = ""
    """The id of the node that is on its way out."""
    there: int = 0
    """How many there were at the last look, without the one that goes."""
    changed_at: float = -inf
    """When one of these changed."""
    quiet_since: float | None = None
    """Since when fewer nodes would do."""
    reason: str = ""
    """Why so many are wanted, in words."""


def grown(before: Growth, nodes: Sequence[Sender], terms: Terms, now: float, may_go: Callable[[str], bool]) -> Growth:
    """The next state. ``nodes``: all live ones that are to send, in any order. ``may_go``: whether a node can be done
    without; asked only when one is to go."""
    return _Look(before, nodes, terms, now, may_go).decide()


class _Look:
    """One look at the nodes."""

    def __init__(
        self, before: Growth, nodes: Sequence[Sender], terms: Terms, now: float, may_go: Callable[[str], bool]
    ) -> None:
        going = before.going if any(node.id == before.going for node in nodes) else ""
        self._terms = terms
        self._now = now
        self._may_go = may_go
        stay = [node for node in nodes if node.id != going]
        there = len(stay)
        has_changed = before.there and (there != before.there or going != before.going)
        self._senders = [node for node in stay if not node.is_out]
        self._now_is = replace(
            before,
            going=going,
            # One that joined by other means is wanted, too, until it is quiet.
            wanted=min(max(before.wanted, there, terms.min_nodes), terms.max_nodes),
            there=there,
            changed_at=now if has_changed else before.changed_at,
        )
        uses = [node.use for node in self._senders if node.use is not None]
        self._use = sum(uses) / len(uses) if uses else 0.0
        self._is_known = bool(uses) and len(uses) == len(self._senders)
        actors = (one for node in self._senders for one in node.actors)
        self._late_s = max((one.late_s for one in actors if one.use >= AT_LIMIT), default=0.0)

    def decide(self) -> Growth:
        if self._late_s >= self._terms.grow_after_s and self._use >= NEARLY_ALL:
            return self._more()
        if self._would_do():
            return self._fewer()
        return replace(self._now_is, quiet_since=None, reason=f"nodes use {self._use:.0%} of what they can")

    def _more(self) -> Growth:
        now_is = replace(self._now_is, quiet_since=None)
        there, late = now_is.there, f"mail that no limit holds is {self._late_s:.0f} s late, nodes use {self._use:.0%}"
        if now_is.going:
            return self._changed(replace(now_is, going="", there=there + 1, wanted=there + 1), late)
        if there < now_is.wanted:
            return replace(now_is, reason=f"{late}; {now_is.wanted - there} more asked for, not there yet")
        if there >= self._terms.max_nodes:
            return replace(now_is, reason=f"{late}; there are cluster.max_nodes")
        if self._is_settling:
            return replace(now_is, reason=f"{late}; mail moves to the nodes of now first")
        wanted = min(there + ceil(there / PART), self._terms.max_nodes)
        return self._changed(replace(now_is, wanted=wanted), late)

    def _would_do(self) -> bool:
        """Whether one node less would do, or a node that was asked for and has not come is no longer needed."""
        left = min(self._now_is.wanted - 1, self._now_is.there)
        if not self._is_known or left < self._terms.min_nodes or self._late_s >= self._terms.grow_after_s:
            return False
        out = self._now_is.there - len(self._senders)
        return self._use * len(self._senders) <= WOULD_DO * (left - out)

    def _fewer(self) -> Growth:
        now_is = self._now_is
        since = self._now if now_is.quiet_since is None else now_is.quiet_since
        quiet = f"nodes use {self._use:.0%} of what they can"
        waited_s = self._now - max(since, now_is.changed_at)
        if now_is.going:
            return replace(now_is, quiet_since=since, reason=f"{quiet}; one goes")
        if waited_s < self._terms.shrink_after_s:
            reason = (
                f"{quiet}; one fewer is wanted if that holds for {self._terms.shrink_after_s - waited_s:.0f} s more"
            )
            return replace(now_is, quiet_since=since, reason=reason)
        if now_is.wanted > now_is.there:
            return self._changed(replace(now_is, wanted=now_is.wanted - 1, quiet_since=None), quiet)
        by_use = sorted(self._senders, key=lambda node: (node.use or 0.0, node.id))
        going = next((node.id for node in by_use if self._may_go(node.id)), "")
        if not going:
            return replace(now_is, quiet_since=since, reason=f"{quiet}; none of them can be done without")
        return self._changed(replace(now_is, wanted=now_is.wanted - 1, going=going, quiet_since=None), quiet)

    @property
    def _is_settling(self) -> bool:
        return self._now < self._now_is.changed_at + SETTLE_S

    def _changed(self, state: Growth, reason: str) -> Growth:
        # That one goes is no further change of how many there are.
        there = state.there - (bool(state.going) and not self._now_is.going)
        return replace(state, there=there, changed_at=self._now, reason=reason)


def bundles(cpus: Sequence[float], senders: Sequence[float], missing: int) -> tuple[float, ...]:
    """The CPUs of the nodes that Ray's autoscaler is to have: those of the nodes that stay (``cpus``), so that it ends
    none of them, and for each of those that are missing the least that a node has that sends (``senders``)."""
    return (*sorted(cpus), *([min(senders)] * missing if senders else ()))
