"""What ``up`` prints once it is ready."""

from pathlib import Path

import click
import pytest
from msgspec import structs

from cluster.cli import main
from cluster.commands.greeting import FIRST_COMMANDS, greet, greet_without_demo
from cluster.installation.running import Run
from tests.documents import commands, lines, walk

RUN = Run(pid=1, url="http://127.0.0.1:8080", page="http://127.0.0.1:8025", processes=[])


def test_the_demo_is_a_command_that_sends(capsys: pytest.CaptureFixture[str]) -> None:
    greet(RUN, "sg_live_x", Path("demo.key"))
    said = capsys.readouterr().out
    for line in ("postray is ready        http://127.0.0.1:8080", "http://127.0.0.1:8080/docs", "curl -i http", "8025"):
        assert line in said
    assert 'Authorization: Bearer sg_live_x"' in said


def test_the_address_for_recipients_is_named_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    greet(structs.replace(RUN, tracking="http://127.0.0.1:8081"), "", Path("demo.key"))
    assert "\ntracked links, images   http://127.0.0.1:8081\n" in capsys.readouterr().out
    greet(RUN, "", Path("demo.key"))
    assert "tracked" not in capsys.readouterr().out


def test_the_addresses_that_take_mail_are_named_where_there_are_some(capsys: pytest.CaptureFixture[str]) -> None:
    greet(structs.replace(RUN, submission="127.0.0.1:2587", mail_in="0.0.0.0:25"), "", Path("demo.key"))
    said = capsys.readouterr().out
    assert "\nmail by SMTP            127.0.0.1:2587, with TLS" in said
    assert "\nbounces, complaints     0.0.0.0:25\n" in said
    greet(RUN, "", Path("demo.key"))
    said = capsys.readouterr().out
    assert "SMTP" not in said and "bounces" not in said


def test_the_sql_door_is_named_with_its_login(capsys: pytest.CaptureFixture[str]) -> None:
    greet(structs.replace(RUN, sql="http://127.0.0.1:8123"), "", Path("demo.key"), "in sql.password")
    said = capsys.readouterr().out
    assert "\nSQL (ClickHouse HTTP)   http://127.0.0.1:8123, user postray, password in sql.password\n" in said
    greet(RUN, "", Path("demo.key"))
    assert "SQL" not in capsys.readouterr().out


def test_a_hidden_key_is_named_by_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    greet(RUN, "", Path("/var/lib/post ray/demo.key"))
    said = capsys.readouterr().out
    assert "in /var/lib/post ray/demo.key" in said
    assert "Bearer $(cat '/var/lib/post ray/demo.key')" in said


def test_without_the_demo_the_next_commands_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    greet_without_demo(RUN, "/etc/post ray.toml", has_tenants=False)
    said = capsys.readouterr().out
    for command in FIRST_COMMANDS:
        assert f"\npostray --config '/etc/post ray.toml' {command}\n" in said
    assert "sg_live" not in said and "curl" not in said
    greet_without_demo(RUN, None, has_tenants=False)
    assert f"\npostray {FIRST_COMMANDS[0]}\n" in capsys.readouterr().out


def test_where_there_are_tenants_nothing_is_to_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    greet_without_demo(RUN, None, has_tenants=True)
    said = capsys.readouterr().out
    assert "postray is ready" in said and "tenant" not in said


@pytest.mark.parametrize("text", FIRST_COMMANDS)
def test_each_of_them_is_a_command_of_the_documents(text: str) -> None:
    words = text.split(" ")
    group = main.get_command(click.Context(main), words[0])
    assert isinstance(group, click.Group)
    with group.commands[words[1]].make_context(words[1], words[2:]):
        pass
    shown = [found for block in walk() if block.language == "sh" for line in lines(block) for found in commands(line)]
    assert any(found[1 : 1 + len(words)] == words for found in shown if found[0] == "postray")
