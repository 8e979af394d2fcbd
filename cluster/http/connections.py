"""Who may be connected: the bounds of an HTTP server's connections, and who goes first when a place is needed.

Pure: time is an argument. ``accepting.py`` asks for a place, ``protocol.py`` tells what its connection is doing.
"""

import ipaddress
import math
from enum import IntEnum
from typing import Protocol

from msgspec import Struct

RESERVED = 16
"""Places beyond the bound, for health checks."""
HEADROOM = 64
"""File descriptors that are left for Postgres, other actors and files."""
LOOKS = 16
"""At those who may have read meanwhile, before one of them is closed whatever it has read."""
FEWEST = 16
"""So many connections are allowed, however few descriptors there are."""


class Bounds(Struct, frozen=True, kw_only=True):
    connections: int
    """Open at one time."""
    per_address: int
    """Of these, from one address."""
    head_timeout_s: float = 10.0
    """From the first byte of a request's head to its last; and from a connection's beginning to its first byte."""
    idle_timeout_s: float = 60.0
    """Between requests. Clients keep connections in pools, and meet a reset when the server is the quicker to close
    them."""
    unread_timeout_s: float = 30.0
    """An answer that waits for its client to read moves on within this time."""
    leaving_s: float = 2.0
    """After a refusal, what the client still sends is read and dropped for so long, so that it finds the answer."""
    unread_bytes: int = 64 * 1024 * 1024
    """Of answers that wait for their clients to read, and of requests behind them. One address has the share of these
    that it has of the connections."""
    reserved: int = RESERVED

    @property
    def unread_bytes_per_address(self) -> int:
        return self.unread_bytes * min(self.per_address, self.connections) // self.connections


class Phase(IntEnum):
    """What a connection is doing. All but BUSY have a time limit, and make room for others in this order."""

    LEAVING = 0
    """Answered for the last time."""
    IDLE = 1
    """Between two requests."""
    NEW = 2
    """Nothing has come yet. In line with PARTIAL: a client that is about to ask comes after those that only began."""
    PARTIAL = 3
    """Part of a request's head has come, or the rest of a body that nothing waits for is to come."""
    UNREAD = 4
    """Its client does not read what it asked for."""
    BUSY = 5
    """A request is under way."""


LEAVING, IDLE, NEW, PARTIAL, UNREAD, BUSY = Phase
# Requests are many, and to look a member up costs as much as a call (Python 3.11).

_LINES = (0, 1, 2, 2, 3)
"""The line in which a connection of each phase waits."""


class Holder(Protocol):
    """The connection on a seat."""

    def evict(self) -> None:
        """Close at once: the place is needed."""

    def expire(self) -> None:
        """Close, or go on: the time of the phase is over."""

    def unread(self) -> int:
        """The bytes that wait for the client to read, and those of its requests behind them."""


class _Lines:
    """Who waits, in the order of deadlines; one line of each kind."""

    __slots__ = ("lines", "unread")

    def __init__(self) -> None:
        self.lines: list[dict[Seat, float]] = [{} for _ in set(_LINES)]
        self.unread = 0
        """The bytes of all of them."""

    def first(self, until: float = math.inf) -> "Seat | None":
        """Who goes first, of those whose time is over by then."""
        for line in self.lines:
            while line:
                seat, deadline = next(iter(line.items()))
                if deadline > until:
                    break
                if seat.deadline == deadline:
                    return seat
                seat.line_up()  # it was busy meanwhile
        return None


class Seat:
    """The place of one connection."""

    __slots__ = ("address", "all", "deadline", "group", "holder", "line", "phase", "reserved", "unread")

    def __init__(self, address: str, lines: _Lines, group: "_Group | None") -> None:
        """``group`` None: a reserved place."""
        self.address = address
        self.all = lines
        self.group = group
        self.reserved = group is None
        self.phase = BUSY
        self.deadline = math.inf
        self.line: int | None = None
        """In which it stands. Between requests a seat keeps its place of before, and is moved when its turn comes:
        requests are many, turns are few."""
        self.unread = 0
        """Bytes, when they were last counted; of UNREAD."""
        self.holder: Holder | None = None
        """None until the connection has been made."""

    def take_up(self) -> None:
        """From IDLE to BUSY: what ``move`` does, at each request."""
        self.phase = BUSY
        self.deadline = math.inf

    def count_unread(self, bytes_: int) -> None:
        """So many from now on."""
        if self.group is not None:
            self.all.unread += bytes_ - self.unread
            self.group.unread += bytes_ - self.unread
            self.unread = bytes_

    def step_out(self) -> None:
        """Wait no more."""
        if self.line is not None and self.group is not None:
            del self.all.lines[self.line][self], self.group.lines[self.line][self]
            self.line = None

    def line_up(self) -> None:
        """Stand where the phase belongs, behind all others."""
        self.step_out()
        if self.phase is not BUSY and self.group is not None:
            self.line = _LINES[self.phase]
            self.all.lines[self.line][self] = self.group.lines[self.line][self] = self.deadline


class _Group(_Lines):
    """The connections of one address."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0


class Connections:
    """All seats of one server."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._limits_s = (
            bounds.leaving_s,
            bounds.idle_timeout_s,
            bounds.head_timeout_s,
            bounds.head_timeout_s,
            bounds.unread_timeout_s,
            math.inf,
        )
        self._count = 0
        self._groups: dict[str, _Group] = {}
        self._lines = _Lines()
        self._reserved: dict[Seat, float] = {}

    def __len__(self) -> int:
        return self._count + len(self._reserved)

    def admit(self, address: str, now: float) -> tuple[Seat, Seat | None]:
        """A seat for a connection from ``address`` (of ``address_key``), and the seat to be emptied for it.

        Where no connection can be closed, the seat is a reserved one: good for a health check, and soon taken from it
        again.
        """
        group = self._groups.get(address)
        victim = None
        full = True
        if group is not None and group.count >= self._bounds.per_address:
            victim = group.first()
        elif self._count >= self._bounds.connections:
            victim = self._lines.first()
        else:
            full = False
        if victim is not None:
            self.remove(victim)
        elif full:
            return self._reserve(address, now)
        group = self._groups.setdefault(address, group or _Group())
        group.count += 1
        self._count += 1
        seat = Seat(address, self._lines, group)
        self.move(seat, NEW, now)
        return seat, victim

    def move(self, seat: Seat, phase: Phase, now: float) -> None:
        """The connection's phase is this from now on. The time limit of a phase that goes on stays as it was."""
        old = seat.phase
        if old is phase or seat.group is None:
            return
        if seat.unread:
            seat.count_unread(0)
        seat.phase = phase
        seat.deadline = now + self._limits_s[phase]
        if phase is IDLE:
            if seat.line != _LINES[IDLE]:
                seat.line_up()
        elif phase is not BUSY or old is not IDLE:
            seat.line_up()

    def remove(self, seat: Seat) -> None:
        """The connection is gone, or will be at once. Again: nothing."""
        group = seat.group
        if group is None:
            self._reserved.pop(seat, None)
            return
        seat.step_out()
        seat.count_unread(0)
        seat.group = None
        group.count -= 1
        self._count -= 1
        if not group.count:
            del self._groups[seat.address]

    def expired(self, now: float, most: int) -> list[Seat]:
        """Up to ``most`` seats whose time is over; their holders have to be told, once."""
        found: list[Seat] = []
        while len(found) < most and (seat := self._lines.first(now)) is not None:
            seat.step_out()
            found.append(seat)
        late = [seat for seat, deadline in self._reserved.items() if deadline <= now]
        for seat in late[: most - len(found)]:
            del self._reserved[seat]
            found.append(seat)
        return found

    def spare(self, most: int) -> list[Seat]:
        """Up to ``most`` seats, emptied since descriptors are short; their holders have to be told."""
        found: list[Seat] = []
        while len(found) < most and (seat := self._lines.first()) is not None:
            self.remove(seat)
            found.append(seat)
        return found

    def count_unread(self, seat: Seat, bytes_: int, now: float) -> list[Seat]:
        """So many bytes wait for the client of this seat, which is UNREAD. The seats that are emptied since there are
        too many in all, or of one address; their holders have to be told."""
        group = seat.group
        if group is None:
            return []
        seat.count_unread(bytes_)
        of_address = self._shed(group, self._bounds.unread_bytes_per_address, now)
        return of_address + self._shed(self._lines, self._bounds.unread_bytes, now)

    def _shed(self, lines: _Lines, most: int, now: float) -> list[Seat]:
        """Empty seats until no more than ``most`` bytes are unread: who has moved on least lately goes first. A single
        answer may be larger than that."""
        line = lines.lines[_LINES[UNREAD]]
        found: list[Seat] = []
        looks = LOOKS
        while lines.unread > most and len(line) > 1:
            seat = next(iter(line))
            bytes_ = seat.holder.unread() if looks and seat.holder is not None else seat.unread
            looks -= 1
            if bytes_ < seat.unread:
                seat.count_unread(bytes_)
                seat.deadline = now + self._limits_s[UNREAD]
                seat.line_up()
            else:
                self.remove(seat)
                found.append(seat)
        return found

    def _reserve(self, address: str, now: float) -> tuple[Seat, Seat | None]:
        victim = None
        if len(self._reserved) >= self._bounds.reserved:
            victim = next(iter(self._reserved))
            self.remove(victim)
        seat = Seat(address, self._lines, None)
        self._reserved[seat] = now + self._bounds.head_timeout_s
        return seat, victim


def address_key(host: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, since a site has all of them (RFC 6177)."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def affordable(wanted: int, *, descriptors: int, used: int, reserved: int = RESERVED) -> int:
    """How many of the ``wanted`` connections a process can hold that may open ``descriptors`` files and has ``used``
    open."""
    return min(wanted, max(FEWEST, descriptors - used - reserved - HEADROOM))
