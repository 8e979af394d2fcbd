"""The additions of packages above ``cluster`` to its command: declared in pyproject.toml, and known to the
installation."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cluster import entry_points

ROOT = Path(__file__).parents[2]


def declared() -> list[EntryPoint]:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    return [EntryPoint(name, value, group) for group, names in groups.items() for name, value in names.items()]


def test_every_group_that_is_asked_for_is_declared() -> None:
    asked_for = {entry_points.COMMANDS, entry_points.CHECKS, entry_points.RESTORING, entry_points.PAGES}
    assert {point.group for point in declared()} == asked_for


@pytest.mark.parametrize("point", declared(), ids=lambda point: point.name)
def test_what_is_installed_finds_what_is_declared(point: EntryPoint) -> None:
    """It fails where pyproject.toml is newer than the installation; `make` installs it again."""
    assert entry_points.load(point.group, point.name) is point.load()


def test_what_is_not_installed_says_what_to_do() -> None:
    with pytest.raises(entry_points.NotInstalled) as raised:
        entry_points.load(entry_points.COMMANDS, "other")
    assert str(raised.value) == "postray.commands has no other: install postray again (make)"
