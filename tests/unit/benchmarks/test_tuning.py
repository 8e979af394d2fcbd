"""Command-line options from a Struct."""

from typing import Annotated, Any

import click
from click.testing import CliRunner
from msgspec import Meta, Struct

from benchmarks.everything import QUICK
from benchmarks.measuring import SCENARIOS, command
from benchmarks.tuning import options


class Told(Struct):
    how_many: Annotated[int, Meta(ge=1, le=9, description="Of them.")] = 3
    each_s: tuple[Annotated[float, Meta(ge=0, le=5, description="How long.")], ...] = (1.0, 2.0)
    deep: bool = False


def invoked(*arguments: str) -> tuple[int, str, dict[str, Any]]:
    heard: dict[str, Any] = {}

    @click.command()
    @options(Told)
    def said(**told: Any) -> None:
        heard.update(told)

    result = CliRunner().invoke(said, arguments)
    return result.exit_code, result.output, heard


def test_defaults_are_the_fields() -> None:
    assert invoked()[2] == {"how_many": 3, "each_s": (1.0, 2.0), "deep": False}


def test_values_are_taken() -> None:
    _, _, heard = invoked("--how-many", "5", "--each-s", "0.5", "--each-s", "4", "--deep")
    assert heard == {"how_many": 5, "each_s": (0.5, 4.0), "deep": True}


def test_bounds_hold() -> None:
    assert invoked("--how-many", "10")[0] != 0
    assert invoked("--each-s", "9")[0] != 0


def test_help_tells_default_and_bounds() -> None:
    output = invoked("--help")[1]
    assert "Of them." in output
    assert "default: 3; 1<=x<=9" in output


def test_every_scenario_has_a_command_with_help() -> None:
    for name in SCENARIOS:
        result = CliRunner().invoke(command(name), ["--help"])
        assert result.exit_code == 0, name
        assert "--repeats" in result.output


def test_quick_options_are_options_of_their_scenarios() -> None:
    for name, told in QUICK.items():
        kind, make = SCENARIOS[name]
        scenario = make(kind(**told))
        assert scenario.name == name
        assert scenario.measures
