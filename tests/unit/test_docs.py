"""Compares the documents with the code: commands, options, routes, settings, files, links, names.

tests/acceptance/test_docs.py runs the commands, and tests/integration/analytics/test_querying.py runs the SQL.
"""

import ast
import configparser
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import click
import msgspec
import pytest

from analytics import retention
from analytics.rows import COLUMNS
from api.http.access import ROUTES, Caller
from api.send.request import MailSend
from api.send.validation import check
from benchmarks import records
from benchmarks.__main__ import main as harness
from cluster.access.scopes import SCOPES
from cluster.cli import main as postray
from cluster.events import Event
from cluster.journal import ends
from cluster.journal.journal import Journal
from cluster.policies import check_policies
from cluster.settings import DeliverySettings, keys, load
from tests.documents import (
    API,
    PAGES,
    ROOT,
    Block,
    anchors,
    blocks,
    commands,
    in_code,
    lines,
    links,
    name_of,
    rows,
    text_of,
)

PACKAGES = ("cluster", "analytics", "actors", "api", "benchmarks")
DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "images"
LARGEST_PICTURE = 60_000
"""In bytes: they stay in the repository for good."""

LANGUAGES = {"", "sh", "toml", "json", "python", "sql"}
OTHER_PROGRAMS = {"cat", "clickhouse-client", "dig", "git", "grep", "nc", "python3", "tail", "tar"}
"""Other programs that the examples use."""

MOST_LINES = 100
"""The most lines of the README."""


def test_every_block_says_what_it_is() -> None:
    fences = [line for page in PAGES for line in text_of(page).splitlines() if line.startswith("```")]
    found = blocks(*LANGUAGES)
    assert len(fences) == 2 * len(found)
    assert {block.language for block in found} == LANGUAGES


def test_the_readme_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= MOST_LINES


# Commands


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_every_command_is_one(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in lines(block):
        for words in commands(line):
            _check(words)


def _check(words: Sequence[str]) -> None:
    for word in words:
        if word.endswith((".json", ".eml")):
            Path(word).touch()  # what a command reads
    match words:
        case ["postray", "bench", *rest]:
            _understood(postray, ["bench", *rest])
            _understood(harness, rest)
        case ["postray", *rest]:
            _understood(postray, rest)
        case ["python", "-m", "benchmarks", *rest]:
            _understood(harness, rest)
        case ["make", target]:
            assert re.search(rf"^{re.escape(target)}:", _makefile(), re.MULTILINE), f"make knows no {target}"
        case ["curl", *rest]:
            _check_call(rest)
        case _:
            assert words[0] in OTHER_PROGRAMS, f"{words[0]}: unknown program"


def _makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(READY)", ".venv/.ready")


def _understood(command: click.Command, words: Sequence[str]) -> None:
    """Check that a command, its options and their values are valid. Raises click.UsageError."""
    rest = list(words)
    name = "postray"
    while isinstance(command, click.Group) and not (command.invoke_without_command and not rest):
        name = rest.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"unknown command {name}"
        command = found
    with command.make_context(name, rest):
        pass


def _check_call(words: Sequence[str]) -> None:
    parser = dict(_options(words))
    (url,) = (word for word in words if word.startswith("http"))
    if url == "http://127.0.0.1:8123/":
        assert "--user" in words  # tests/integration/analytics/test_sql_clients.py runs it
        return
    assert url.startswith(API)
    path = urlsplit(url).path
    method = parser.get("-X") or ("POST" if "-d" in parser else "GET")
    called = [name for name in ROUTES if _leads_to(name, f"{method} {path}")]
    assert len(called) == 1, f"{method} {path} is no route"
    takes_key = ROUTES[called[0]].caller in (Caller.KEY, Caller.OPERATOR_OR_KEY)
    assert takes_key == ("Authorization: Bearer $KEY" in words)
    if "-d" in parser:
        body = json.loads(parser["-d"])
        if called == ["POST /v3/mail/send"]:
            _check_mail(json.dumps(body))


def _options(words: Sequence[str]) -> list[tuple[str, str]]:
    return [(words[i], words[i + 1]) for i in range(len(words) - 1) if words[i] in ("-X", "-d")]


def _leads_to(route: str, called: str) -> bool:
    """Whether a call leads to a route. A shell variable matches any part of the path."""
    pattern = re.sub(r"\\{\w+\\}", r"[^/]+", re.escape(route))
    return re.fullmatch(pattern, called) is not None


def test_every_command_for_operators_has_an_example() -> None:
    shown = {
        words[1]
        for block in blocks("sh")
        if block.page == "docs/operating.md"
        for line in lines(block)
        for words in commands(line)
        if words[0] == "postray"
    }
    context = click.Context(postray)
    there = {name: postray.get_command(context, name) for name in postray.list_commands(context)}
    assert shown == {name for name, command in there.items() if command is None or not command.hidden}


# Files and bodies


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_every_settings_file_is_accepted(block: Block, tmp_path: Path) -> None:
    first = block.text.partition("\n")[0]
    match first:
        case "# postray.toml":
            path = tmp_path / "postray.toml"
            path.write_text(block.text, encoding="utf-8")
            load(path, {})
        case "# shaping.toml":
            check_policies(DeliverySettings(), block.text, "")
        case "# routing.toml":
            check_policies(DeliverySettings(), "", block.text)
        case _:
            pytest.fail(f"{block}: the first line names no file")


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_every_body_is_accepted(block: Block) -> None:
    _check_mail(block.text)


def _check_mail(body: str) -> None:
    faults = check(msgspec.json.decode(body, type=MailSend)).faults
    assert [fault for fault in faults if fault.message != "The template does not exist"] == []


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_program_is_one(block: Block) -> None:
    compile(block.text, str(block), "exec")


def test_the_unit_starts_postray() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read("examples/systemd/postray.service", encoding="utf-8")
    program, option, _, *rest = shlex.split(parser["Service"]["ExecStart"])
    assert (Path(program).name, option) == ("postray", "--config")
    _understood(postray, rest)
    assert float(parser["Service"]["TimeoutStopSec"]) > DeliverySettings().stop_wait_s


# Tables about the code


def test_the_calls_are_the_routes() -> None:
    named = [call.strip("`") for call, _ in rows(DOCS / "sending.md", "call | what it does")]
    assert sorted(named) == sorted(name for name, access in ROUTES.items() if access.caller is not Caller.OPERATOR)


def test_the_columns_are_those_of_the_events() -> None:
    described = [column for columns, *_ in rows(DOCS / "querying.md", "column | what") for column in _ticked(columns)]
    assert sorted(described) == sorted(COLUMNS)


def test_the_parts_of_the_journal_are_its_attributes() -> None:
    described = [part for parts, _ in rows(DOCS / "design.md", "part | for") for part in _ticked(parts)]
    journal = Journal("", application="test")
    assert sorted(described) == sorted(name for name in vars(journal) if not name.startswith("_"))


def test_the_events_are_those_of_the_log() -> None:
    described = [name.strip("`") for name, _ in rows(DOCS / "querying.md", "event | when")]
    tags = [str(kind.__struct_config__.tag) for kind in get_args(Event)]
    assert sorted(described) == sorted([*tags, "blocked"])  # a bounce of that type has a separate name


def _ticked(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# Names


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in links(page):
            if link.startswith("https://"):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{name_of(page)}: {link}"
            assert not anchor or anchor in anchors(target), f"{name_of(page)}: {link}"


_PATH = re.compile(rf"(?<![\w./-])((?:{'|'.join((*PACKAGES, 'tests', 'docs', 'examples'))})/[\w./-]*\w/?)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(_PATH.findall(text_of(page)))
    missing = {path for path in named if not (ROOT / path).exists() and "NAME" not in path}
    assert missing == set()


def test_names_in_the_glossary_are_names_of_the_code() -> None:
    classes, words = _names()
    for name in in_code(DOCS / "glossary.md"):
        if "/" in name and not name.startswith(("POST ", "GET ")):
            assert (ROOT / name).exists(), name
        elif name.endswith(".toml"):
            assert list(ROOT.rglob(name)) or name.replace(".toml", ".example.toml") in _examples(), name
        elif name[0].isupper() and name.isalpha():
            assert name in classes, f"no class {name}"
        elif name in ROUTES or name in keys():
            continue
        else:
            assert name in words | {"code"}, f"{name} is no word of the code"


def _examples() -> set[str]:
    return {path.name for path in (ROOT / "examples").iterdir()}


@cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    """The product's classes and named types, and the words in its source."""
    classes: set[str] = set()
    words: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            words.update(re.findall(r"\w+", text))
            classes.update(_classes_and_types(ast.parse(text)))
    return frozenset(classes), frozenset(words)


def _classes_and_types(module: ast.Module) -> Iterator[str]:
    """Classes, and the names given to types: ``Key = tuple[str, int]``."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            yield node.name
    for statement in module.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id


def test_settings_that_are_named_exist() -> None:
    sections = {key.partition(".")[0] for key in keys() if "." in key}
    files = {"ray.token"}
    for page in PAGES:
        for name in in_code(page):
            section, dot, key = name.partition(" =")[0].strip().partition(".")
            if section in sections and dot and re.fullmatch(r"[a-z0-9_]+", key):
                assert f"{section}.{key}" in {*keys(), *files, *SCOPES}, f"{name_of(page)}: {name}"


# Results of measurements


def test_only_pictures_that_are_shown_are_kept_and_they_are_small() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page) if link.endswith(".png")}
    pictures = set(PICTURES.rglob("*"))
    assert shown == set(RESULTS.rglob("*.png")) | pictures
    assert [path.name for path in pictures if path.stat().st_size > LARGEST_PICTURE] == []


def test_kept_records_are_summaries() -> None:
    for path in RESULTS.rglob("*.json"):
        if path.name.endswith(records.SAMPLES):
            continue  # from a run on this machine; git ignores it
        kept = json.loads(path.read_bytes())
        for repeat in kept.get("repeats", ()):
            assert (repeat["throughput"], repeat["latencies_ms"]) == ([], {}), path
        assert [kept.get(name, []) for name in ("looks", "schedule", "done")] == [[], [], []], path
    assert f"*{records.SAMPLES}" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_page_of_storage_says_of_every_table_how_long_it_is_kept() -> None:
    of_journal, of_clickhouse = (DOCS / "storage.md").read_text(encoding="utf-8").split("### In ClickHouse")
    for page, bounded_by in ((of_journal, ends.BOUNDED_BY), (of_clickhouse, retention.BOUNDED_BY)):
        named = [
            name
            for line in page.splitlines()
            if line.startswith("| `")
            for name in re.findall(r"`(\w+)`", line.split("|")[1])
        ]
        assert sorted(named) == sorted(bounded_by)
