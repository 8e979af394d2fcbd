"""The everything-on scenario: what a message costs that has everything, beside the mail of end-to-end, in turn.

Everything: a stored template, eight tracked links, a pixel, an unsubscribe link and header fields for it, two
signatures, and the events.
"""

from typing import Annotated

from msgspec import Meta

from benchmarks import order_letter
from benchmarks.composing import LINKS, costs, tracked_kinds
from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.blast import Options
from benchmarks.scenarios.in_turn import InTurn, together
from benchmarks.scenarios.sending import COUNTED, Messages, SendingWorld
from benchmarks.scenarios.templates import stored_template

USUAL, EVERYTHING = "usual", "everything"
TRACKING = {"subscription_tracking": {"enable": True}}
"""The request's settings; opens and clicks are tracked by default."""
COMPOSING = "composing, tracked - untracked"
Rounds = Annotated[int, Meta(ge=1, le=1000, description="Rounds of composing in the harness.")]


class EverythingOnOptions(Options, frozen=True, kw_only=True):
    messages: Messages = 15_000
    rounds: Rounds = 50


class EverythingOn:
    """The everything-on scenario."""

    name = "everything-on"
    title = "A stored template, tracked links, pixel, unsubscribe link, two signatures, events; beside end-to-end"
    notes = (
        COUNTED,
        "The two ways are measured in turn, each repeat beginning with the other. Usual: the mail of end-to-end.",
        "composing: from a stored message to what is signed, without signatures, in this process: the stored template "
        "with links, tracked and not.",
    )

    def __init__(self, options: EverythingOnOptions) -> None:
        self.settings = options
        self._mails = {USUAL: Mail(options.shape)}
        self._kinds = tracked_kinds()
        self._sending = SendingWorld(options)
        self._in_turn = InTurn(self._sending, options)

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(f"delivered, {USUAL}", "msg/s", Better.HIGHER),
            Measure(f"delivered, {EVERYTHING}", "msg/s", Better.HIGHER),
            Measure(f"CPU, {USUAL}", "µs/msg", Better.LOWER),
            Measure(f"CPU, {EVERYTHING}", "µs/msg", Better.LOWER),
            Measure(f"delivered, {EVERYTHING} / {USUAL}", "times", Better.HIGHER, 0.85),
            Measure("composing, untracked", "µs/msg", Better.LOWER),
            Measure("composing, tracked", "µs/msg", Better.LOWER),
            Measure(COMPOSING, "µs/msg", Better.LOWER, 60.0),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        postray = self._sending.world.postray
        template_id = await stored_template(postray.url, postray.key, order_letter.linked_texts(LINKS))
        self._mails[EVERYTHING] = Mail(self.settings.shape, letter=order_letter.stored(template_id), tracking=TRACKING)

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        found = await self._in_turn.measure(self._mails, share, tell)
        return together(found, figures_of(found, costs(self._kinds, self.settings.rounds)), EVERYTHING)


def figures_of(found: dict[str, Repeat], composing: dict[str, float]) -> dict[str, float]:
    """The figures of both ways and of composing, and their ratio and difference."""
    figures = {f"{what}, {name}": one.figures[what] for name, one in found.items() for what in ("delivered", "CPU")}
    figures[f"delivered, {EVERYTHING} / {USUAL}"] = (
        found[EVERYTHING].figures["delivered"] / found[USUAL].figures["delivered"]
    )
    figures |= {f"composing, {name}": cost for name, cost in composing.items()}
    return figures | {COMPOSING: composing["tracked"] - composing["untracked"]}
