"""The beside-webhook scenario: what an endpoint that gets every event costs mail: end-to-end without and with one, in
turn."""

from functools import partial

from benchmarks.blocking import to_its_end
from benchmarks.client import Client
from benchmarks.hook import HookOptions
from benchmarks.hook_process import HookProcess
from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.blast import Options, shoot
from benchmarks.scenarios.in_turn import together
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
        self._hook: HookProcess | None = None
        self._url = ""
        self._turn = 0

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
        ways = (WITHOUT, WITH) if self._turn % 2 == 0 else (WITH, WITHOUT)
        self._turn += 1
        found = {name: await self._measured(name, round(share * self.settings.messages), tell) for name in ways}
        figures = {f"delivered, {name}": one.figures["delivered"] for name, one in found.items()}
        figures[f"delivered, {WITH} / {WITHOUT}"] = figures[f"delivered, {WITH}"] / figures[f"delivered, {WITHOUT}"]
        return together(found, figures, WITH)

    async def _measured(self, name: str, messages: int, tell: Tell) -> Repeat:
        def told(text: str, done: float = 0.0) -> None:
            tell(f"{name}: {text}", done)

        shot = partial(shoot, self._sending, self._mail, messages, self.settings, told)
        if name == WITHOUT:
            return await shot()
        assert self._hook is not None
        postray = self._sending.world.postray
        client, tail = Client(postray.url, postray.key), self._hook.tail()
        tail.take()
        made = await client.post(WEBHOOKS, {"url": self._url, "enabled_events": ["*"], "batch": True})
        if made.status != 201:
            raise RuntimeError(f"POST {WEBHOOKS}: {made.status} {made.body[:300]!r}")
        try:
            repeat = await shot()
        finally:
            await client.request("DELETE", f"{WEBHOOKS}/{made.json()['id']}")
        if not sum(post.count for post in tail.take()):
            raise RuntimeError("the endpoint got no event")
        return repeat
