"""The beside-webhook scenario: what an endpoint that gets every event costs mail: end-to-end without and with one, in
turn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.blocking import to_its_end
from benchmarks.client import Client
from benchmarks.hook import HookOptions
from benchmarks.hook_process import HookProcess
from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.blast import Options
from benchmarks.scenarios.in_turn import InTurn, delivered, together
from benchmarks.scenarios.sending import COUNTED, Messages, SendingWorld
from benchmarks.scenarios.webhooks import ALLOWED
from benchmarks.world import relayed

WITHOUT, WITH = "without", "with"
WEBHOOKS = "/v3/user/webhooks"


class BesideWebhookOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 15_000


class BesideWebhook:
    """The beside-webhook scenario."""

    name = "beside-webhook"
    title = "End to end, without and with an endpoint that gets every event in arrays"
    notes = (
        COUNTED,
        "The endpoint is a process on the same cores. The two ways are measured in turn, each repeat beginning with "
        "the other.",
    )

    def __init__(self, options: BesideWebhookOptions) -> None:
        self.settings = options
        self._mail = Mail(options.shape)
        self._sending = SendingWorld(options, lambda sink: relayed(sink) | ALLOWED)
        self._in_turn = InTurn(self._sending, options)
        self._hook: HookProcess | None = None
        self._url = ""

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(f"delivered, {WITHOUT}", "msg/s", Better.HIGHER),
            Measure(f"delivered, {WITH}", "msg/s", Better.HIGHER),
            Measure(f"delivered, {WITH} / {WITHOUT}", "times", Better.HIGHER, 0.9),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        self._hook = HookProcess(self._sending.world.directory / "hook", HookOptions(logs_events=False))
        self._url = f"http://{await to_its_end(self._hook.start)}/array"
        self._sending.world.beside["hook"] = self._hook.pid

    async def close(self) -> None:
        if self._hook is not None:
            await to_its_end(self._hook.stop)
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        """Raises RuntimeError when the endpoint cannot be set up, or got no event."""
        mails = dict.fromkeys((WITHOUT, WITH), self._mail)
        found = await self._in_turn.measure(mails, share, tell, {WITH: self._posted_to})
        return together(found, delivered(found, WITH, WITHOUT), WITH)

    @asynccontextmanager
    async def _posted_to(self) -> AsyncIterator[None]:
        assert self._hook is not None
        postray = self._sending.world.postray
        client, tail = Client(postray.url, postray.key), self._hook.tail()
        tail.take()
        made = await client.post(WEBHOOKS, {"url": self._url, "enabled_events": ["*"], "batch": True})
        if made.status != 201:
            raise RuntimeError(f"POST {WEBHOOKS}: {made.status} {made.body[:300]!r}")
        try:
            yield
        finally:
            await client.request("DELETE", f"{WEBHOOKS}/{made.json()['id']}")
        if not sum(post.count for post in tail.take()):
            raise RuntimeError("the endpoint got no event")
