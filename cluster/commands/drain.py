"""``postray drain`` takes a node out of delivery, ``postray undrain`` brings it back."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from cluster.commands.instance import settings_of
from cluster.commands.output import NAME, console
from cluster.installation import running
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.membership import Membership

DRAIN_LOOK_S = 0.2


@click.command()
@click.argument("node", type=NAME)
@click.pass_obj
def drain(config: str | None, node: str) -> None:
    """Take NODE (its id, or the beginning of it) out of delivery.

    Its API takes no more requests, its delivery actors finish what is on the wire and give back what waits; the other
    nodes go on. Returns when it holds nothing. What there is one of in the cluster stays there. ``postray undrain``
    brings it back, ``postray nodes`` lists all.
    """
    console.print(f"drained {_on(config, node, _drain)}")


@click.command()
@click.argument("node", type=NAME)
@click.pass_obj
def undrain(config: str | None, node: str) -> None:
    """Bring NODE (its id, or the beginning of it) back into delivery: it takes requests and deliveries again."""
    console.print(f"{_on(config, node, _undrain)} is back")


def _on(config: str | None, node: str, work: Callable[[Membership, str], Awaitable[None]]) -> str:
    """Do this to the node that is meant; returns its id. Raises click.ClickException."""
    settings = settings_of(config)
    if running.read_run(Path(settings.data_dir).resolve()) is None:
        raise click.ClickException("postray is not running here")
    try:
        return asyncio.run(_on_node(journal_dsn(settings), node, work))
    except Unavailable as error:
        raise click.ClickException(str(error)) from error


async def _on_node(dsn: str, node: str, work: Callable[[Membership, str], Awaitable[None]]) -> str:
    journal = Journal(dsn, application="cli", connections=1)
    await journal.open()
    try:
        nodes = await journal.membership.nodes()
        matching = [known.node_id for known in nodes if known.node_id.startswith(node)]
        if len(matching) != 1:
            known = "\n  ".join(known.node_id for known in nodes)
            raise click.ClickException(f"{node!r} names {len(matching)} nodes of:\n  {known}")
        await work(journal.membership, matching[0])
    finally:
        await journal.close()
    return matching[0]


async def _drain(membership: Membership, node_id: str) -> None:
    await membership.drain_node(node_id)
    with console.status("draining"):
        while any(known.node_id == node_id and known.held for known in await membership.nodes()):
            await asyncio.sleep(DRAIN_LOOK_S)


async def _undrain(membership: Membership, node_id: str) -> None:
    if not await membership.undrain_node(node_id):
        raise click.ClickException(f"{node_id} does not drain")
