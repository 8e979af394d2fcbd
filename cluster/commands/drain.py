"""``postray drain``: takes a node out of delivery."""

import asyncio
from pathlib import Path

import click

from cluster.commands.instance import settings_of
from cluster.commands.output import NAME, console
from cluster.installation import running
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal, Unavailable

DRAIN_LOOK_S = 0.2


@click.command()
@click.argument("node", type=NAME)
@click.pass_obj
def drain(config: str | None, node: str) -> None:
    """Take NODE (its id, or the beginning of it) out of delivery.

    Its API takes no more requests, its delivery actors finish what is on the wire and give back what waits; the other
    nodes go on. Returns when it holds nothing. What there is one of in the cluster stays there.
    """
    settings = settings_of(config)
    if running.read_run(Path(settings.data_dir).resolve()) is None:
        raise click.ClickException("postray is not running here")
    try:
        asyncio.run(_drain(journal_dsn(settings), node))
    except Unavailable as error:
        raise click.ClickException(str(error)) from error


async def _drain(dsn: str, node: str) -> None:
    journal = Journal(dsn, application="cli", connections=1)
    await journal.open()
    try:
        nodes = await journal.membership.nodes()
        matching = [known.node_id for known in nodes if known.node_id.startswith(node)]
        if len(matching) != 1:
            known = "\n  ".join(known.node_id for known in nodes)
            raise click.ClickException(f"{node!r} names {len(matching)} nodes of:\n  {known}")
        await journal.membership.drain_node(matching[0])
        with console.status("draining"):
            while any(known.node_id == matching[0] and known.held for known in await journal.membership.nodes()):
                await asyncio.sleep(DRAIN_LOOK_S)
    finally:
        await journal.close()
    console.print(f"drained {matching[0]}")
