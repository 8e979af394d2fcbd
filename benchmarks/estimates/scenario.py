"""Sends the batches, asks for the estimate of each at several moments, and watches at the sink when each ends."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from rich.console import Console

from benchmarks.blocking import cancel_once_on_signals, to_its_end
from benchmarks.client import Client, HttpAnswer
from benchmarks.estimates.cases import DELAY_MS, Case, Expected, cases, routing, shaping
from benchmarks.estimates.record import Answer, CaseRecord, EstimatesRecord, judged
from benchmarks.machine import commit, machine
from benchmarks.mail import FROM
from benchmarks.names import domain
from benchmarks.phases import Phases, Tell
from benchmarks.server_process import ServerProcess
from benchmarks.sink import SinkOptions
from benchmarks.sink_log import Receipt
from benchmarks.world import World, direct
from cluster.access.scopes import SCOPES
from cluster.demo import TENANT
from cluster.journal.journal import Journal
from cluster.tenancy.granting import add_key, add_verified_domain
from cluster.vault import Vault, secret_key

OTHER_DOMAIN = "mail.example.net"
EVERY_S = 9.0
"""Not a divisor of the ten seconds of samples: what is asked meets samples of every age."""
AT_ONCE = 500
LOOK_S = 0.5
RULES_S = 30.0


class EstimatesOptions(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    size: Annotated[float, Meta(gt=0, le=20, description="How much mail, as a part of the usual.")] = 1.0
    longest: Annotated[float, Meta(ge=20, le=3600, description="Seconds from the first message to the end.")] = 150.0


class Batch(Struct):
    """A batch under way."""

    case: Case
    id: str = ""
    arrived: int = 0
    ended_at: float | None = None
    answers: list[Answer] = []


async def run(options: EstimatesOptions, console: Console) -> EstimatesRecord:
    """One run, shown on ``console``."""
    cancel_once_on_signals()
    started_at, began = datetime.now(UTC), time.monotonic()
    phases = Phases(console)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pr-estimates-")))
        with phases.shown():
            with phases.phase("starting"):
                names = ServerProcess("benchmarks.names", (), directory / "names.err")
                stack.push_async_callback(to_its_end, names.stop)
                nameserver = await to_its_end(names.start)
                files = directory / "shaping.toml", directory / "routing.toml"
                files[0].write_text("", encoding="ascii")
                files[1].write_text(routing(started_at.date()), encoding="ascii")
                world = World(lambda sink: _variables(sink, nameserver, *files), SinkOptions(delay_ms=DELAY_MS))
                stack.push_async_callback(to_its_end, world.close)
                await to_its_end(world.open)
                run = Run(world, [Batch(case) for case in cases(options.size)])
                files[0].write_text(shaping([one.case for one in run.batches], await run.prepared()), encoding="ascii")
                reloaded = await to_its_end(world.postray.command, "shaping", "reload")
                if reloaded.returncode:
                    raise RuntimeError(f"shaping reload: {reloaded.stderr[-500:]}")
            with phases.phase("batches", options.longest) as tell:
                await run.through(options.longest, tell)
    records = run.records()
    return EstimatesRecord(
        **judged(records, run.lasted_s),
        started_at=started_at.isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - began, 1),
        machine=machine(),
        commit=commit(),
        cases=records,
    )


def _variables(sink: str, nameserver: str, shaping_file: Path, routing_file: Path) -> Mapping[str, str]:
    return direct(sink, nameserver) | {
        "POSTRAY_DELIVERY_SHAPING_FILE": str(shaping_file),
        "POSTRAY_DELIVERY_ROUTING_FILE": str(routing_file),
    }


class Run:
    """The batches of a world."""

    def __init__(self, world: World, batches: list[Batch]) -> None:
        self.batches = batches
        self._world = world
        self._ours = self._client(world.postray.key)
        self._others = self._ours
        self._operator = self._client(world.postray.operator_token)
        self._tail = world.sink.tail()
        self._began = 0.0
        self._began_at = 0.0
        self.lasted_s = 0.0

    def _client(self, key: str) -> Client:
        return Client(self._world.postray.url, key)

    async def prepared(self) -> str:
        """Make the other tenant; returns the id of ours."""
        postray = self._world.postray
        journal = Journal(self._world.dsn, application="estimates", connections=1)
        await journal.open()
        try:
            ours = await journal.tenants.named(TENANT)
            assert ours is not None, "the demo tenant"
            other = await journal.tenants.create("other")
            await add_verified_domain(
                journal, Vault(secret_key(postray.settings.secret, postray.data_dir)), other, OTHER_DOMAIN
            )
            self._others = self._client((await add_key(journal, other, "estimates", SCOPES)).secret)
        finally:
            await journal.close()
        return ours

    async def through(self, longest_s: float, tell: Tell) -> None:
        """Send all, then ask and watch until all that can end has ended, or the time is over."""
        for batch in self.batches:
            await self._prepare(batch)
        self._began, self._began_at = time.monotonic(), time.time()
        await asyncio.gather(*map(self._send_all, (False, True)))
        watching = asyncio.create_task(self._watch())
        try:
            at_s = self._now() + 2.0
            while self._now() < longest_s and any(self._may_end(one) for one in self.batches):
                await asyncio.sleep(max(0.0, at_s - self._now()))
                at_s += EVERY_S
                await asyncio.gather(*(self._ask(one) for one in self.batches if one.ended_at is None))
                ended = sum(one.ended_at is not None for one in self.batches)
                tell(f"{ended} of {len(self.batches)} ended", self._now())
        finally:
            watching.cancel()
        self._look()
        self.lasted_s = self._now()

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _may_end(self, one: Batch) -> bool:
        return one.ended_at is None and one.case.expected is Expected.RANGE

    def records(self) -> list[CaseRecord]:
        return [
            CaseRecord(
                case=one.case,
                ended_s=None if one.ended_at is None else round(one.ended_at - self._began_at, 1),
                answers=[answer for answer in one.answers if one.ended_at is None or self._is_before(answer, one)],
            )
            for one in self.batches
        ]

    def _is_before(self, answer: Answer, one: Batch) -> bool:
        """What was asked while the last message was already at the host says nothing."""
        assert one.ended_at is not None
        return answer.at_s < one.ended_at - self._began_at

    # Sending

    def _of(self, one: Batch) -> Client:
        return self._others if one.case.is_other_tenant else self._ours

    async def _prepare(self, one: Batch) -> None:
        made = await _asked(self._of(one), "POST", "/v3/mail/batch", None, 201)
        one.id = made.json()["batch_id"]
        body: dict[str, Any]
        if one.case.is_paused:
            body = {"batch_id": one.id, "status": "pause"}
            await _asked(self._of(one), "POST", "/v3/user/scheduled_sends", body, 201)
        if one.case.suspended_s:
            await self._suspend(domain(one.case.site), one.case.suspended_s)

    async def _suspend(self, site: str, for_s: float) -> None:
        """A rule makes the domain a site of its own, which the API knows a moment after the rules were read anew."""
        body = {"domain": site, "for_s": for_s}
        async with asyncio.timeout(RULES_S):
            while (await _asked(self._operator, "POST", "/api/admin/suspensions", body, 201)).json()["site"] != site:
                await asyncio.sleep(LOOK_S)

    async def _send_all(self, is_other_tenant: bool) -> None:
        for number, one in enumerate(self.batches):
            if one.case.is_other_tenant == is_other_tenant:
                await self._send(number, one)

    async def _send(self, number: int, one: Batch) -> None:
        case = one.case
        sender = {"email": f"bench@{OTHER_DOMAIN}"} if case.is_other_tenant else FROM
        for first in range(0, case.count, AT_ONCE):
            to = [
                {"to": [{"email": f"c{number}-{i}.{case.fate}@{domain(case.site)}"}]}
                for i in range(first, min(case.count, first + AT_ONCE))
            ]
            body: dict[str, Any] = {"from": sender, "subject": "Hello", "personalizations": to, "batch_id": one.id}
            body["content"] = [{"type": "text/plain", "value": "A short letter."}]
            if case.pool:
                body["ip_pool_name"] = case.pool
            await _asked(self._of(one), "POST", "/v3/mail/send", body, 202)

    # Watching

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        counts: Counter[int] = Counter()
        for line in self._tail.take():
            if isinstance(line, Receipt) and line.accepted:
                for recipient in line.recipients:
                    number = int(recipient[1 : recipient.index("-")])
                    counts[number] += 1
                    one = self.batches[number]
                    one.arrived += 1
                    if one.arrived == one.case.count:
                        one.ended_at = line.at

    async def _ask(self, one: Batch) -> None:
        at_s = round(self._now(), 1)
        told = (await _asked(self._of(one), "GET", f"/v3/mail/batch/{one.id}", None, 200)).json()
        if (estimate := told.get("estimate")) is None:
            one.answers.append(Answer(at_s=at_s, reason=str(told.get("no_estimate"))))
            return
        sites: Sequence[Mapping[str, Any]] = estimate["sites"]
        earliest, latest = (self._moment(estimate[name]) for name in ("earliest_at", "latest_at"))
        binds = "; ".join(str(site["said"]) for site in sites)
        one.answers.append(Answer(at_s=at_s, earliest_s=earliest, latest_s=latest, binds=binds))

    def _moment(self, text: str | None) -> float | None:
        if text is None:
            return None
        return round(datetime.fromisoformat(text).timestamp() - self._began_at, 1)


async def _asked(client: Client, method: str, path: str, body: Any, status: int) -> HttpAnswer:
    """The answer, which must have this status. Raises RuntimeError."""
    answer = await client.request(method, path, b"" if body is None else msgspec.json.encode(body))
    if answer.status != status:
        raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
    return answer
