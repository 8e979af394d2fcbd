"""``postray drain`` takes a node out of delivery, ``postray undrain`` brings it back."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

import click

from cluster.access.noting import Notes
from cluster.commands import doing
from cluster.commands.instance import Instance, settings_of
from cluster.commands.output import NAME, console
from cluster.draining import DRAINING_S
from cluster.http.ending import IN_ORDER
from cluster.installation import running
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.membership import Membership
from cluster.journal.operator_audit import Doer
from cluster.policy.placement import kind_of
from cluster.topology import LISTENING

DRAIN_LOOK_S = 0.2
CLOSED_S = DRAINING_S + IN_ORDER.grace_s + 2 * IN_ORDER.leaving_s + 5.0
"""How long processes that listen may take to notice, to answer what they have begun, and to end what is behind that,
with some room. The servers of a process end together; only the whole application leaves after the others."""


@click.command()
@click.argument("node", type=NAME)
@click.pass_obj
def drain(config: str | None, node: str) -> None:
    """Take NODE (its id, or the beginning of it) out of delivery.

    Its API takes no more requests and its mail in no more mail, its delivery actors finish what is on the wire and give
    back what waits; the other nodes go on. Returns when it holds nothing. What there is one of in the cluster stays
    there. ``postray undrain`` brings it back, ``postray nodes`` lists all.
    """
    live = _live(config)

    async def work(membership: Membership, node_id: str) -> None:
        await membership.drain_node(node_id, live.keys())
        with console.status("draining"):
            await _until_drained(membership, node_id, live.get(node_id, ()))

    console.print(f"drained {_on(config, node, live, work)}")


@click.command()
@click.argument("node", type=NAME)
@click.pass_obj
def undrain(config: str | None, node: str) -> None:
    """Bring NODE (its id, or the beginning of it) back into delivery: it takes requests and deliveries again."""

    async def work(membership: Membership, node_id: str) -> None:
        if not await membership.undrain_node(node_id):
            raise click.ClickException(f"{node_id} does not drain")

    console.print(f"{_on(config, node, (), work)} is back")


def _live(config: str | None) -> Mapping[str, Collection[str]]:
    """The live nodes, each with its processes that listen. None where postray does not answer here, as when this node
    is drained: those with delivery actors are in the journal."""
    try:
        told = Instance.of(config).get("nodes")["nodes"]
    except click.ClickException:
        return {}
    return {node["id"]: [one["name"] for one in node["actors"] if kind_of(one["name"]) in LISTENING] for node in told}


def _on(
    config: str | None, node: str, live: Collection[str], work: Callable[[Membership, str], Awaitable[None]]
) -> str:
    """Do this to the node that is meant; returns its id. ``live``: nodes beside those in the journal. Raises
    click.ClickException."""
    settings = settings_of(config)
    if running.read_run(Path(settings.data_dir).resolve()) is None:
        raise click.ClickException("postray is not running here")
    try:
        return asyncio.run(_on_node(journal_dsn(settings), node, live, work))
    except Unavailable as error:
        raise click.ClickException(str(error)) from error


async def _on_node(
    dsn: str, node: str, live: Collection[str], work: Callable[[Membership, str], Awaitable[None]]
) -> str:
    journal = Journal(dsn, application="cli", connections=1)
    await journal.open()
    try:
        nodes = sorted({*live, *(known.node_id for known in await journal.membership.nodes())})
        matching = [known for known in nodes if known.startswith(node)]
        if len(matching) != 1:
            known = "\n  ".join(nodes)
            raise click.ClickException(f"{node!r} names {len(matching)} nodes of:\n  {known}")
        doer = Doer(way="command", operator=doing.operator())
        async with Notes(journal.operator_audit).of(doer, doing.command_name(), matching[0], refused=_refused):
            await work(journal.membership, matching[0])
    finally:
        await journal.close()
    return matching[0]


def _refused(error: Exception) -> str | None:
    return error.message if isinstance(error, click.ClickException) else None


async def _until_drained(membership: Membership, node_id: str, listening: Collection[str]) -> None:
    """Return when the node holds nothing and these processes take nothing more from outside. Raises
    click.ClickException when they go on to."""
    until = time.monotonic() + CLOSED_S
    while True:
        node = next((known for known in await membership.nodes() if known.node_id == node_id), None)
        if node is None or not node.draining:
            raise click.ClickException(f"{node_id} was brought back meanwhile")
        taking = sorted(set(listening) - set(node.closed))
        if not node.held and not taking:
            return
        if not node.held and time.monotonic() > until:
            raise click.ClickException(f"{node_id} drains, but still takes requests or mail: {', '.join(taking)}")
        await asyncio.sleep(DRAIN_LOOK_S)
