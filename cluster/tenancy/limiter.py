"""The limits of all tenants in one process: it accepts or refuses, and shares each limit with the other processes.

A request costs no look-up in the journal. Several times a second the process reports what it is asked by the tenants
that are near their limits, reads what the others report (peers.py), and takes its share of each limit (shares.py).
While the journal is away it keeps its shares.

A daily quota is counted in the commits themselves. What the other processes have used is read while the tenant sends,
and before a commit when the last reading is older than ``quota.FRESH_S``.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence

from msgspec.structs import replace

from cluster.journal.database import Unavailable
from cluster.journal.records import NewRequest
from cluster.journal.tenant_load import TenantLoad
from cluster.metrics import Counters, Gauge
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.exceeded import LimitExceeded, QuotaExceeded, RateExceeded, Standing
from cluster.tenancy.limits import DEFAULTS, Limit, RequestLimits
from cluster.tenancy.peers import MOST_REPORTED, Key, Peers, encode
from cluster.tenancy.quota import DAY_S, Quota, QuotaLeft, date_of
from cluster.tenancy.shares import share_of
from cluster.tenancy.window import Window

log = logging.getLogger(__name__)

EXCHANGE_S = 0.25
QUIET_EXCHANGE_S = 1.0
"""How often a process reports while none has a demand to report."""
FORGET_S = 120.0
"""A tenant that asks for nothing and owes nothing is forgotten after this. A request takes less from its admission to
its commit, in the process for large requests, too."""
SWEEP_S = 15.0
QUOTA = "messages_per_day"
_MESSAGES = Limit.MESSAGES  # a look-up of a member takes longer

Clock = Callable[[], float]


class Allowance:
    """What one tenant may ask of this process."""

    __slots__ = ("asked_at", "is_active", "limits", "quota", "tenant_id", "windows")

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.limits = DEFAULTS
        self.windows: dict[Limit, Window | None] = {}
        """The limits that were asked for lately; None for one that is not set."""
        self.quota: Quota | None = None
        self.is_active = False
        """Whether it takes part in the exchanges."""
        self.asked_at = 0.0
        """When it last did."""


class TenantLimiter:
    """The allowances of the tenants that ask for something."""

    refused = Counters(
        "postray_requests_over_limit_total",
        "Requests refused because the tenant was over a limit.",
        "limit",
        (*(limit.value for limit in Limit), QUOTA),
    )
    processes = Gauge(
        "postray_limit_processes", "API processes that share the limits of tenants.", lambda self: 1 + len(self._peers)
    )
    held = Gauge("postray_limit_tenants", "Tenants with limits in memory.", lambda self: len(self._allowances))

    def __init__(
        self,
        process: str,
        load: TenantLoad,
        directory: TenantDirectory,
        defaults: RequestLimits,
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        """``process`` is the unique name of this process; ``load`` belongs to the journal that it commits with.
        ``defaults`` has all limits. ``clock`` is monotonic; ``wall`` has Unix seconds."""
        self._process = process
        self._load = load
        self._directory = directory
        self._defaults = defaults
        self._clock = clock
        self._wall = wall
        self._peers = Peers(clock)
        self._allowances: dict[str, Allowance] = {}
        self._outdated: dict[str, Allowance] = {}
        """Allowances of tenants that changed: their limits are read when the tenant asks again."""
        self._changes = 0
        self._active: list[Allowance] = []
        self._reading: dict[str, asyncio.Task[None]] = {}
        """Readings of quotas that requests wait for."""
        self._measured_at = clock()
        self._reported_at = -math.inf
        self._has_reported = False
        """Whether the last report named a demand."""
        self._swept_at = clock()
        self._is_away = False
        directory.on_change(self._on_change)

    # What requests do.

    def find(self, tenant_id: str) -> Allowance | None:
        """The tenant's allowance when it is in memory."""
        found = self._allowances.get(tenant_id)
        if found is not None and not found.is_active:
            self._activate(found)
        return found

    async def load(self, tenant_id: str) -> Allowance:
        """The tenant's allowance. Raises Unavailable."""
        while True:
            changes = self._changes
            tenant = await self._directory.tenant(tenant_id)
            if changes == self._changes:
                break
        found = self.find(tenant_id)
        if found is None:
            found = self._outdated.pop(tenant_id, None) or Allowance(tenant_id)
            self._allowances[tenant_id] = found
            self._apply(found, tenant.limits if tenant is not None else DEFAULTS)
            self._activate(found)
        return found

    def standing(self, allowance: Allowance, limit: Limit) -> Standing | None:
        """What the answer of a request shows that is counted under ``limit``; None without a limit."""
        window = allowance.windows.get(limit) or self._window(allowance, limit)
        return allowance.quota if window is None and limit is _MESSAGES else window

    def charge_request(self, allowance: Allowance, limit: Limit) -> None:
        """Charge a request. Raises RateExceeded."""
        if (window := self._window(allowance, limit)) is not None:
            try:
                window.charge(1)
            except RateExceeded:
                self.refused[limit] += 1
                raise

    def require_messages(self, allowance: Allowance, *, uses_quota: bool) -> None:
        """Call this before reading a request to send. Raises RateExceeded while the tenant is in debt, and
        QuotaExceeded when nothing is left of its day and the request ``uses_quota`` for certain: that of a sandbox key
        does not, and a repeat may not."""
        try:
            window = allowance.windows.get(_MESSAGES) or self._window(allowance, _MESSAGES)
            if window is not None:
                window.require()
            quota = allowance.quota
            if quota is not None and uses_quota and quota.is_fresh():
                quota.require()
        except LimitExceeded as error:
            raise self._counted(error) from None

    async def charge(self, request: NewRequest) -> NewRequest:
        """Charge the messages of a request that is about to be committed; returns what to commit. Raises RateExceeded
        or QuotaExceeded, when nothing is charged, and Unavailable."""
        allowance = self.find(request.tenant_id) or await self.load(request.tenant_id)
        if allowance.quota is None or request.messages[0].sandbox:
            self._charge_messages(allowance, len(request.messages), None)
            return request
        self._charge_messages(allowance, len(request.messages), await self._fresh_quota(allowance))
        return replace(request, uses_quota=True)

    def _charge_messages(self, allowance: Allowance, messages: int, quota: Quota | None) -> None:
        window = allowance.windows.get(_MESSAGES) or self._window(allowance, _MESSAGES)
        try:
            if window is not None:
                window.charge(messages)
            if quota is not None:
                try:
                    quota.charge(messages)
                except QuotaExceeded:
                    if window is not None:
                        window.give_back(messages)
                    raise
        except LimitExceeded as error:
            raise self._counted(error) from None

    def give_back(self, request: NewRequest) -> None:
        """Take back the charge of a request that was not committed."""
        allowance = self._allowances.get(request.tenant_id) or self._outdated.get(request.tenant_id)
        if allowance is None:  # forgotten, so it owes nothing
            return
        if request.uses_quota and allowance.quota is not None:
            allowance.quota.give_back(len(request.messages))
        if (window := allowance.windows.get(Limit.MESSAGES)) is not None:
            window.give_back(len(request.messages))

    async def begin_elsewhere(self, tenant_id: str, *, sandbox: bool, may_be_repeat: bool) -> QuotaLeft | None:
        """Admit a request that another process will check and commit; returns what is left of the day, None without a
        quota. Raises what ``require_messages`` raises, and Unavailable."""
        allowance = self.find(tenant_id) or await self.load(tenant_id)
        quota = await self._fresh_quota(allowance) if allowance.quota is not None and not sandbox else None
        self.require_messages(allowance, uses_quota=not sandbox and not may_be_repeat)
        return None if quota is None else quota.left

    def spend(self, tenant_id: str, messages: int, *, counted: bool) -> None:
        """Charge the messages that another process has committed."""
        allowance = self.find(tenant_id) or self._outdated.get(tenant_id)
        if allowance is None:  # not within FORGET_S of its admission
            return
        if counted and allowance.quota is not None:
            allowance.quota.add(messages)
        if (window := self._window(allowance, Limit.MESSAGES)) is not None:
            window.spend(messages)

    # What happens in the background.

    async def run(self) -> None:
        """Exchange demands with the other processes until cancelled."""
        while True:
            await self.exchange()
            await asyncio.sleep(EXCHANGE_S)

    async def exchange(self) -> None:
        """Measure, report, read and share once. While there is no demand, a report is only a sign of life."""
        now = self._clock()
        interval_s, self._measured_at = now - self._measured_at, now
        for allowance in self._active:
            for window in allowance.windows.values():
                if window is not None:
                    window.measure(max(interval_s, 1e-3))
        demands = self._demands()
        try:
            if demands or self._has_reported or self._peers.ask or now - self._reported_at >= QUIET_EXCHANGE_S:
                report = encode([(*key, demand) for key, demand in demands.items()])
                self._peers.hear(await self._load.exchange(self._process, report))
                self._reported_at, self._has_reported = now, bool(demands)
            await self._read_quotas([a for a in self._active if a.quota is not None and a.quota.needs_reading()])
        except Unavailable as error:
            if not self._is_away:
                log.warning("limits are not shared until the journal is back reason=%r", error.reason)
            self._is_away = True
            return
        self._is_away = False
        for allowance in self._active:
            self._share(allowance, demands, interval_s)
        self._settle(now)

    def _demands(self) -> dict[Key, float]:
        """What this process reports: the demands near their limits, and those that others report, too."""
        equal = 2 * (1 + len(self._peers))
        found: list[tuple[float, Key, float]] = []
        for allowance in self._active:
            for limit, window in allowance.windows.items():
                if window is not None and window.demand:
                    key = (allowance.tenant_id, str(limit))
                    if window.demand * equal > window.per_s or self._peers.demands(key):
                        found.append((window.demand / window.per_s, key, window.demand))
        if len(found) > MOST_REPORTED:
            found = sorted(found, reverse=True)[:MOST_REPORTED]
        return {key: demand for _, key, demand in found}

    def _share(self, allowance: Allowance, demands: dict[Key, float], interval_s: float) -> None:
        for limit, window in allowance.windows.items():
            if window is None:
                continue
            key = (allowance.tenant_id, str(limit))
            others = self._peers.demands(key)
            window.is_contested = bool(others)
            if not others and key not in demands:
                window.recover(interval_s)
            window.set_share(self._share_of(window.per_s, demands.get(key, 0.0), others))

    def _share_of(self, per_s: float, own: float, others: Sequence[float]) -> float:
        return share_of(per_s, own, others, len(self._peers) - len(others))

    def _settle(self, now: float) -> None:
        """Stop exchanging for what is not asked for any more, and forget it after a time."""
        active = []
        for allowance in self._active:
            windows = allowance.windows
            for limit in [limit for limit, window in windows.items() if window is None or window.is_idle()]:
                del windows[limit]
            if windows or (allowance.quota is not None and allowance.quota.was_asked):
                active.append(allowance)
            else:
                allowance.is_active = False
            allowance.asked_at = now
        self._active = active
        if now - self._swept_at >= SWEEP_S:
            self._swept_at = now
            for held in (self._allowances, self._outdated):
                for tenant_id in [id for id, a in held.items() if not a.is_active and now - a.asked_at > FORGET_S]:
                    del held[tenant_id]

    # The parts of an allowance.

    def _activate(self, allowance: Allowance) -> None:
        allowance.is_active = True
        self._active.append(allowance)

    def _window(self, allowance: Allowance, limit: Limit) -> Window | None:
        try:
            return allowance.windows[limit]
        except KeyError:
            per_s = allowance.limits.per_s(limit, self._defaults)
            window = None
            if per_s:
                others = self._peers.demands((allowance.tenant_id, str(limit)))
                window = Window(limit, per_s, self._share_of(per_s, 0.0, others), self._clock, self._wall)
            allowance.windows[limit] = window
            return window

    def _apply(self, allowance: Allowance, limits: RequestLimits) -> None:
        """Change the limits; what is owed stays owed."""
        allowance.limits = limits
        for limit, window in list(allowance.windows.items()):
            per_s = limits.per_s(limit, self._defaults)
            if window is not None and per_s:
                window.change(per_s)
            else:
                del allowance.windows[limit]
        most = limits.quota(self._defaults)
        if not most:
            allowance.quota = None
        elif allowance.quota is None:
            allowance.quota = Quota(most, self._clock, self._wall)
        else:
            allowance.quota.most = most

    def _on_change(self, changed: Collection[str]) -> None:
        self._changes += 1
        for tenant_id in changed:
            if (found := self._allowances.pop(tenant_id, None)) is not None:
                self._outdated[tenant_id] = found

    async def _fresh_quota(self, allowance: Allowance) -> Quota | None:
        """The quota, read again when the last reading is too old. Raises Unavailable."""
        if (quota := allowance.quota) is not None and not quota.is_fresh():
            task = self._reading.get(allowance.tenant_id)
            if task is None:
                task = asyncio.create_task(self._read_quotas([allowance]), name="quota")
                self._reading[allowance.tenant_id] = task
                task.add_done_callback(lambda _: self._reading.pop(allowance.tenant_id, None))
            # Shielded: a client that disconnects must not cancel the reading for the others.
            await asyncio.shield(task)
        return allowance.quota

    async def _read_quotas(self, allowances: Sequence[Allowance]) -> None:
        if not allowances:
            return
        at, day = self._clock(), int(self._wall() // DAY_S)
        for allowance in allowances:
            if allowance.quota is not None:
                allowance.quota.was_asked = False
        found = await self._load.usage([allowance.tenant_id for allowance in allowances], date_of(day))
        for allowance in allowances:
            if allowance.quota is not None:
                allowance.quota.read(day, *found.get(allowance.tenant_id, (0, 0)), at)

    def _counted(self, error: LimitExceeded) -> LimitExceeded:
        self.refused[QUOTA if isinstance(error, QuotaExceeded) else Limit.MESSAGES] += 1
        return error
