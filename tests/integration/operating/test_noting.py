"""What operators do is noted: over HTTP by every route that changes something, and by commands."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import psycopg
import pytest

from api.admin.changing import ROOT
from cluster.cli import main
from cluster.commands import doing
from cluster.installation import running
from cluster.journal.operator_audit import NEWEST
from cluster.vault import FILE
from tests.integration.journal.builders import a_tenant
from tests.integration.operating.conftest import Postray
from tests.integration.operating.test_examples import Caller, _sent
from tests.integration.operating.test_examples import caller as caller

READING = {
    "actions",
    "bench",
    "doctor",
    "domains list",
    "domains show",
    "explain",
    "export",
    "history",
    "inbound explain",
    "inbound list",
    "keys list",
    "keys show",
    "nodes",
    "operator-token list",
    "queue",
    "report",
    "route",
    "shaping check",
    "shaping diff",
    "sites",
    "sources",
    "sql",
    "status",
    "suppressions export",
    "suppressions list",
    "tenants list",
    "tenants show",
    "top",
    "trace",
    "webhooks list",
    "webhooks show",
}
"""Commands that change nothing."""
WITHOUT_A_JOURNAL = {"restore", "up"}
"""Those that work before there is one to note them in."""
IN_THE_JOURNAL = {"down", "drain", "secret rotate", "undrain"}
"""Those that ask no API and note themselves."""
ASKING = {
    "backup",
    "bounce",
    "domains add",
    "domains remove",
    "domains rotate",
    "domains verify",
    "keys add",
    "keys revoke",
    "operator-token add",
    "operator-token revoke",
    "recipients erase",
    "reroute",
    "resume",
    "send-now",
    "shaping reload",
    "storage prune",
    "suppressions add",
    "suppressions import",
    "suppressions purge",
    "suppressions remove",
    "suspend",
    "tenants add",
    "tenants limits",
    "tenants rates",
    "tenants remove",
    "tenants resume",
    "tenants retention",
    "tenants suspend",
    "tls-report",
    "tracking rotate-key",
    "webhooks disable",
    "webhooks enable",
    "webhooks pause",
    "webhooks resume",
}
"""Those that ask /api/admin, whose routes note them."""


def commands(command: click.Command, *names: str) -> set[str]:
    if not isinstance(command, click.Group):
        return {" ".join(names)}
    context = click.Context(command)
    found = [(own, command.get_command(context, own)) for own in command.list_commands(context)]
    return set().union(*(commands(one, *names, own) for own, one in found if one is not None))


def test_of_every_command_it_is_known_how_it_is_noted() -> None:
    known = [READING, WITHOUT_A_JOURNAL, IN_THE_JOURNAL, ASKING]
    assert commands(main) == set().union(*known) and len(commands(main)) == sum(map(len, known))


async def notes(postray: Postray) -> list[tuple[str, str, str, str]]:
    found = await postray.journal.operator_audit.latest(NEWEST, 1000)
    return [(one.doer.way, one.command, one.subject, one.outcome) for one in reversed(found)]


async def test_every_route_that_changes_something_leaves_a_note(caller: Caller) -> None:
    document = (await caller.http.get("/schema/openapi.json")).json()
    missing, subjects = {}, []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {path}"
            if method == "get" or not path.startswith(ROOT):
                continue
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if "dry_run" in content["example"]:
                    content["example"]["dry_run"] = False
            operation["security"] = [{"operator": []}]
            problem = await _sent(caller, name, operation, document)
            found = [one for one in await notes(caller.postray) if one[1] == name]
            if problem or not found or found[-1][3] != "done":
                missing[name] = problem or found
            subjects += [one[2] for one in found]
    assert missing == {}
    assert len(subjects) > 30 and not any("@" in one or "sg_" in one for one in subjects)


async def test_a_tenants_own_key_is_no_operator(caller: Caller) -> None:
    answer = await caller.http.put(
        f"{ROOT}/tenants/me/tracking", json={"open": {"enabled": False}}, headers=caller.headers("key")
    )
    assert answer.status_code == 200, answer.text
    assert await notes(caller.postray) == []


@pytest.mark.parametrize(
    ("arguments", "command", "subject"),
    [
        (("tenants", "add", "zeta"), "postray tenants add", "name=zeta"),
        (("tenants", "suspend", "acme"), "postray tenants suspend", "TENANT"),
        (("keys", "add", "acme", "--scope", "mail.send"), "postray keys add", "tenant=acme"),
        (("suspend", "--site", "site.example", "--for", "1h"), "postray suspend", "site=site.example"),
        (("suppressions", "add", "acme", "bounces", "ada@example.com"), "postray suppressions add", "emails=…"),
        (("tracking", "rotate-key"), "postray tracking rotate-key", ""),
    ],
)
async def test_a_command_is_noted_with_who_types_it(
    postray: Postray, arguments: tuple[str, ...], command: str, subject: str
) -> None:
    tenant = await a_tenant(postray.journal, "acme")
    result = await postray.run(*arguments)
    assert result.exit_code == 0, result.output
    (one,) = await postray.journal.operator_audit.latest(NEWEST, 9)
    assert (one.doer.way, one.doer.operator, one.command) == ("command", doing.operator(), command)
    assert subject.replace("TENANT", tenant) in one.subject and one.outcome == "done"
    assert socket.gethostname() in one.doer.operator and "@example.com" not in one.subject


async def test_a_node_that_is_drained_is_noted(
    postray: Postray, journal_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTRAY_POSTGRES_DSN", journal_dsn)
    await postray.refused("undrain", "node")
    await postray.said("drain", "node")
    await postray.said("undrain", "node")
    found: list[Any] = [one[1:] for one in await notes(postray)]
    assert found == [
        ("postray undrain", "node", "refused: node does not drain"),
        ("postray drain", "node", "done"),
        ("postray undrain", "node", "done"),
    ]


@pytest.fixture
def runs(postray: Postray, journal_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """The process of the running postray, whose data directory this one holds."""
    monkeypatch.setenv("POSTRAY_POSTGRES_DSN", journal_dsn)
    monkeypatch.setenv("SUDO_USER", "ada\udcff\x1b")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            run = running.Run(pid=process.pid, url=postray.url, page="", metrics="", processes=[])
            running.write_run(postray.data_dir, run)
            yield process
        finally:
            process.kill()


STOPPING = (("down",), ("secret", "rotate"))


@pytest.mark.parametrize("arguments", STOPPING)
async def test_what_stops_or_rotates_notes_itself(
    postray: Postray, runs: subprocess.Popen[bytes], arguments: tuple[str, ...]
) -> None:
    result = await postray.run(*arguments)
    assert result.exit_code == 0 and "not noted" not in result.output, result.output
    (one,) = await postray.journal.operator_audit.latest(NEWEST, 9)
    assert one.command == " ".join(["postray", *arguments])
    assert one.doer.operator.endswith("(sudo ada\\udcff\\x1b)")


@pytest.mark.parametrize("arguments", STOPPING)
@pytest.mark.parametrize(
    "broken",
    [
        "ALTER TABLE operator_audit DROP COLUMN way",
        "DROP TABLE operator_audit",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); "
        "END $$",
        "ALTER TABLE operator_audit ADD CHECK (operator = '')",
        "no server",
    ],
)
async def test_what_cannot_note_itself_says_so_and_goes_on(
    postray: Postray,
    runs: subprocess.Popen[bytes],
    journal_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    broken: str,
) -> None:
    if broken == "no server":
        monkeypatch.setenv("POSTRAY_POSTGRES_DSN", f"host={postray.data_dir} dbname=none")
    else:
        async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
            await connection.execute(broken.encode())
    secret = (postray.data_dir / FILE).read_bytes()
    result = await postray.run(*arguments)
    assert result.exit_code == 0 and "not noted: " in result.output, (result.output, result.exception)
    if arguments == ("down",):
        assert "stopped" in result.output and runs.poll() is not None
    else:
        assert "has a new secret" in result.output and (postray.data_dir / FILE).read_bytes() != secret
