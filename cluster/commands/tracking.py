"""Tracked mail: the key of its links."""

import click

from cluster.commands.instance import Instance
from cluster.commands.output import console, json_option, print_json


@click.group()
def tracking() -> None:
    """Opens and clicks, and the links that they come by."""


@tracking.command("rotate-key")
@json_option
@click.pass_obj
def rotate_key(config: str | None, as_json: bool) -> None:
    """Make a new key for the links, pixels and unsubscribe addresses of mail.

    Every process signs with it within a minute. Links of mail that was sent before go on working: the former keys stay.
    """
    made = Instance.of(config).post("tracking/rotate-key")
    if as_json:
        print_json(made)
        return
    console.print(f"key {made['key_id']} signs new links within a minute; links of earlier mail go on working")
