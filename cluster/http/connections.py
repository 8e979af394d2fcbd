"""The limits on an HTTP server's connections, and which connection is closed when a place is needed.

Pure: time is an argument. ``accepting.py`` requests seats, ``protocol.py`` reports the phase of its connection.
"""

import math
from enum import IntEnum
from typing import Protocol

from msgspec import Struct

RESERVED = 16
"""Places beyond the limit, for health checks."""
HEADROOM = 64
"""File descriptors kept free for Postgres, other actors and files."""
LOOKS = 16
"""Connections whose client may have read meanwhile that are checked, before one is closed without a check."""
FEWEST = 16
"""This many connections are always allowed, however few descriptors there are."""


class ConnectionBounds(Struct, frozen=True, kw_only=True):
    """The limits of one server."""

    connections: int
    """Open at the same time."""
    per_address: int
    """Open at the same time from one address."""
    head_timeout_s: float = 10.0
    """From the first byte of a request's head to its last, and from the start of a connection to its first byte."""
    idle_timeout_s: float = 60.0
    """Between requests. Clients pool connections, and get a reset when the server closes them first."""
    unread_timeout_s: float = 30.0
    """The time within which a client must read more of a waiting answer."""
    leaving_s: float = 2.0
    """After a refusal, incoming data is read and dropped for this long, so that the client can read the answer."""
    unread_bytes: int = 64 * 1024 * 1024
    """Answers that wait for their clients to read, plus requests queued behind them. One address may use the same share
    of these bytes as of the connections."""
    reserved: int = RESERVED

    @property
    def unread_bytes_per_address(self) -> int:
        return self.unread_bytes * min(self.per_address, self.connections) // self.connections


class Phase(IntEnum):
    """What a connection is doing. All phases but BUSY have a time limit; connections are evicted in this order."""

    LEAVING = 0
    """The last answer is written."""
    IDLE = 1
    """Between two requests."""
    NEW = 2
    """No byte received yet. Shares a line with PARTIAL: a client about to send its first request is evicted after older
    connections that sent only a part."""
    PARTIAL = 3
    """A part of a request's head has arrived, or the rest of a body that nothing waits for is missing."""
    UNREAD = 4
    """The client does not read its answer."""
    BUSY = 5
    """A request is in progress."""


LEAVING, IDLE, NEW, PARTIAL, UNREAD, BUSY = Phase
# For speed: this runs for every request, and an enum attribute look-up costs as much as a call (Python 3.11).

_LINES = (0, 1, 2, 2, 3)
"""The index of the line in which a connection of each phase waits."""


class Holder(Protocol):
    """The connection on a seat."""

    def evict(self) -> None:
        """Close at once: another connection needs the place."""

    def expire(self) -> None:
        """The time limit of the phase has passed: close, or start another phase."""

    def unread(self) -> int:
        """The bytes that wait for the client to read, plus those of its requests queued behind them."""


class _Lines:
    """Waiting seats, ordered by deadline, in one line per kind."""

    __slots__ = ("lines", "unread")

    def __init__(self) -> None:
        self.lines: list[dict[Seat, float]] = [{} for _ in set(_LINES)]
        self.unread = 0
        """Unread bytes of all seats."""

    def first(self, until: float = math.inf) -> "Seat | None":
        """The first seat to evict whose deadline is at most ``until``; None when there is none."""
        for line in self.lines:
            while line:
                seat, deadline = next(iter(line.items()))
                if deadline > until:
                    break
                if seat.deadline == deadline:
                    return seat
                seat.line_up()  # its deadline changed while it was busy
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
        """The line that it is in; None: none. Between requests a seat keeps its old position, and is moved only when it
        reaches the front, because requests are far more frequent than evictions."""
        self.unread = 0
        """Unread bytes at the last count; of UNREAD seats."""
        self.holder: Holder | None = None
        """None until the connection is established."""

    def take_up(self) -> None:
        """From IDLE to BUSY: a fast form of ``move``, for every request."""
        self.phase = BUSY
        self.deadline = math.inf

    def count_unread(self, bytes_: int) -> None:
        """Set the number of unread bytes."""
        if self.group is not None:
            self.all.unread += bytes_ - self.unread
            self.group.unread += bytes_ - self.unread
            self.unread = bytes_

    def step_out(self) -> None:
        """Leave the line."""
        if self.line is not None and self.group is not None:
            del self.all.lines[self.line][self], self.group.lines[self.line][self]
            self.line = None

    def line_up(self) -> None:
        """Join the end of the line of the phase."""
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

    def __init__(self, bounds: ConnectionBounds) -> None:
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
        self.is_ending = False
        """Whether the server ends: each answer is the last on its connection, and says so."""

    def __len__(self) -> int:
        return self._count + len(self._reserved)

    def admit(self, address: str, now: float) -> tuple[Seat, Seat | None]:
        """Returns a seat for a connection from ``address`` (an ``address_key``), and the seat to evict for it, if any.

        When no connection can be evicted, the seat is a reserved one: usable for a health check, and soon reclaimed.
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
        """Set the connection's phase. When it is unchanged, so is its deadline."""
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
        """The connection is closed, or will be at once. Further calls do nothing."""
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
        """Up to ``most`` seats whose deadline has passed, each returned once; the caller notifies their holders."""
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
        """Remove and return up to ``most`` seats when descriptors run out; the caller notifies their holders."""
        found: list[Seat] = []
        while len(found) < most and (seat := self._lines.first()) is not None:
            self.remove(seat)
            found.append(seat)
        return found

    def count_unread(self, seat: Seat, bytes_: int, now: float) -> list[Seat]:
        """Record the unread bytes of an UNREAD seat. Returns the seats evicted because there were too many unread
        bytes, in all or of one address; the caller notifies their holders."""
        group = seat.group
        if group is None:
            return []
        seat.count_unread(bytes_)
        of_address = self._shed(group, self._bounds.unread_bytes_per_address, now)
        return of_address + self._shed(self._lines, self._bounds.unread_bytes, now)

    def _shed(self, lines: _Lines, most: int, now: float) -> list[Seat]:
        """Remove seats until at most ``most`` bytes are unread, beginning with those without progress for the longest
        time. A single answer may be larger than the limit."""
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


def affordable(wanted: int, *, descriptors: int, used: int, reserved: int = RESERVED) -> int:
    """How many of the ``wanted`` connections a process can hold that may open ``descriptors`` files and has ``used``
    open."""
    return min(wanted, max(FEWEST, descriptors - used - reserved - HEADROOM))
