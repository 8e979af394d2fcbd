"""Loads what packages above this one add to the ``postray`` command: entry points that pyproject.toml declares.

So this package names no module above it, and such a module is imported only when it is used.
"""

from importlib.metadata import entry_points
from typing import Any

import click

COMMANDS = "postray.commands"
"""Click commands."""
CHECKS = "postray.checks"
"""Checks of ``postray doctor``."""
RESTORING = "postray.restoring"
"""Steps of ``postray restore``."""
PAGES = "postray.pages"
"""Makers of HTML pages, such as that of ``postray report``."""


class NotInstalled(click.ClickException):
    """The installed package does not declare the entry point: it was installed from other sources."""

    def __init__(self, group: str, name: str) -> None:
        super().__init__(f"{group} has no {name}: install postray again (make)")
        self.args = (group, name)


def load(group: str, name: str) -> Any:
    """The object that an entry point names. Raises NotInstalled."""
    for found in entry_points(group=group, name=name):
        return found.load()
    raise NotInstalled(group, name)
