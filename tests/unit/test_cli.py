"""The command line before a part starts: errors are reported in one line."""

import io
import json
import os
import pkgutil
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cluster import commands
from cluster.cli import MODULES, main
from cluster.commands.instance import moved_problem, refusal
from cluster.commands.output import make_console, table
from tests.documents import ROOT


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    answer = CliRunner().invoke(main, ["--version"], prog_name="postray")
    assert (answer.exit_code, answer.output) == (0, f"postray {project['version']}\n")


def test_the_table_has_every_command_in_the_folder() -> None:
    made: dict[str, set[str]] = {}
    inner: set[click.Command] = set()
    found: list[tuple[str, click.Command]] = []
    for module in pkgutil.iter_modules(commands.__path__):
        for command in vars(import_module(f"cluster.commands.{module.name}")).values():
            if isinstance(command, click.Command):
                found.append((module.name, command))
            if isinstance(command, click.Group):
                inner |= set(command.commands.values())
    for name, command in found:
        assert command.callback is not None and command.name is not None
        if command not in inner and command.callback.__module__ == f"cluster.commands.{name}":
            made.setdefault(name, set()).add(command.name)
    assert made == {module: set(names) for module, names in MODULES.items()}


@pytest.mark.parametrize(
    "command",
    [
        ["top", "--every", "nan"],
        ["trace", "a.example", "--seconds", "nan"],
        ["explain", "msg_1", "--at", "0001-01-01T00:00+05:00"],
        ["explain", "msg_1", "--at", "9999-12-31T23:00-05:00"],
    ],
)
def test_a_value_that_cannot_be_counted_with_is_refused(command: list[str]) -> None:
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 2, answer.output
    assert "Invalid value for" in answer.output


@pytest.mark.parametrize("command", [["up"], ["up", "--detach"], ["status"], ["down"]])
def test_a_data_dir_that_is_a_file_is_told_in_one_line(tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    answer = CliRunner(env={"POSTRAY_DATA_DIR": str(file)}).invoke(main, command)
    assert answer.exit_code == 1
    assert answer.output.count("\n") == 1
    assert str(file) in answer.output


@pytest.mark.parametrize("command", [["up"], ["up", "--detach"]])
def test_nothing_is_made_in_a_place_that_is_refused(tmp_path: Path, command: list[str]) -> None:
    tmp_path.chmod(0o777)
    answer = CliRunner(env={"POSTRAY_DATA_DIR": str(tmp_path / "above" / "data")}).invoke(main, command)
    tmp_path.chmod(0o700)
    assert answer.exit_code == 1
    assert f"chmod go-w {tmp_path}" in answer.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["up"], ["up", "--detach"]])
def test_a_data_dir_that_cannot_be_made_is_told_by_its_key(command: list[str]) -> None:
    answer = CliRunner(env={"POSTRAY_DATA_DIR": "/proc/postray/data"}).invoke(main, command)
    assert answer.exit_code == 1
    assert answer.output.count("\n") == 1
    assert answer.output.startswith("Error: data_dir: /proc/")


def test_authorities_and_rules_are_read_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing", encoding="ascii")
    (tmp_path / "rules.toml").write_text("nonsense = 1", encoding="ascii")
    data = {"POSTRAY_DATA_DIR": str(tmp_path / "data")}
    for variables, named in (
        ({"POSTRAY_TLS_CA_FILE": str(tmp_path / "ca.pem")}, "tls.ca_file"),
        ({"POSTRAY_DELIVERY_SHAPING_FILE": str(tmp_path / "rules.toml")}, "nonsense"),
        ({"POSTRAY_DELIVERY_SHAPING_FILE": str(tmp_path)}, f"delivery.shaping_file: {tmp_path}: cannot be read: Is a"),
    ):
        answer = CliRunner(env=data | variables).invoke(main, ["up"])
        assert answer.exit_code == 1
        assert named in answer.output
    assert not (tmp_path / "data").exists()


def test_data_that_an_older_version_kept_elsewhere_are_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.makedirs("etc")
    os.makedirs("data")
    Path("etc/postray.toml").write_text("data_dir = 'data'", encoding="ascii")
    now = str(tmp_path / "etc" / "data")
    assert moved_problem(Path("etc/postray.toml"), now) is None
    Path("data/run.lock").touch()
    problem = moved_problem(Path("etc/postray.toml"), now)
    assert problem is not None
    assert str(tmp_path / "data") in problem
    os.makedirs(now)
    assert moved_problem(Path("etc/postray.toml"), now) is None


def test_what_is_written_into_a_pipe_does_not_wrap() -> None:
    pipe = io.StringIO()
    made = make_console(pipe)
    made.file = pipe
    name, reply = "mx-" + "0123456789" * 12 + ".example.com", "550 " + "word " * 60
    shown = table("site", "=at", "reply")
    shown.add_row(name, name, reply)
    made.print(shown)
    made.print(f"{name} {reply}")
    _, row, line = pipe.getvalue().splitlines()
    assert row.count(name) == 2
    assert reply.strip() in row
    assert line.rstrip() == f"{name} {reply}".rstrip()


def test_a_refusal_tells_each_way_out_once() -> None:
    faults = [
        {"message": "It is in use", "field": "name", "help": "`postray keys list` shows all"},
        {"message": "It is too long\x1b[2J", "field": "label", "help": "`postray keys list` shows all"},
        {"message": "Not now", "field": None, "help": None},
    ]
    told = refusal(400, json.dumps({"errors": faults, "detail": "all of it"}).encode()).splitlines()
    assert told[0] == "name: It is in use" and "\x1b" not in told[1]
    assert told[2:] == ["Not now", "`postray keys list` shows all"]
    assert refusal(502, b"<html>") == "postray answered 502"


@pytest.mark.parametrize("command", [["status"], ["sites"], ["down"], ["storage"]])
def test_where_there_is_no_data_directory_nothing_runs(tmp_path: Path, command: list[str]) -> None:
    missing = tmp_path / "missing"
    answer = CliRunner(env={"POSTRAY_DATA_DIR": str(missing)}).invoke(main, command)
    assert f"not running on {missing}" in " ".join(answer.output.split())
    assert not missing.exists()
