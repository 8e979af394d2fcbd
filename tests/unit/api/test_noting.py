"""What is done over /api/admin is noted: by every route that changes something, without what must not be noted."""

import ast
from datetime import date
from pathlib import Path

import pytest
from msgspec import UNSET, Struct, UnsetType

from api.admin.changing import NOTED, ROOT
from api.admin.noting import subject
from cluster.access.noting import LONGEST, Notes
from cluster.access.operator_headers import COMMAND, LONGEST_NAME, OPERATOR, in_header, of_header
from cluster.journal.database import Rejected, Unavailable
from cluster.journal.operator_audit import Doer
from cluster.journal.queue_control import QueuePart
from cluster.keys import new_key, new_operator_token
from tests.unit.api.operating import Operating

ADMIN = Path(__file__).parents[3] / "api/admin"


class Body(Struct, frozen=True, kw_only=True):
    """As the body of a route."""

    site: str | None = None
    for_s: float = 3600.0
    all: bool = False
    reason: str = ""
    emails: list[str] | None = None
    scopes: list[str] | None = None
    pause: bool | UnsetType = UNSET


def test_every_route_with_another_method_than_get_is_noted(operating: Operating) -> None:
    routes = [route for route in operating.app.routes if route.path.startswith(ROOT)]
    handlers = [handler for route in routes for handler in getattr(route, "route_handlers", ())]
    changing = [handler for handler in handlers if handler.http_methods - {"GET", "HEAD", "OPTIONS"}]
    assert len(changing) > 30
    assert [handler.handler_name for handler in changing if NOTED not in handler.opt] == []
    assert [handler.handler_name for handler in handlers if handler not in changing and NOTED in handler.opt] == []


def test_no_module_of_it_takes_the_decorators_of_litestar() -> None:
    taken = {
        (path.name, alias.name)
        for path in ADMIN.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("litestar", "litestar.handlers")
        for alias in node.names
    }
    assert {name for _, name in taken} <= {"get", "Response", "HTTPRouteHandler", "BaseRouteHandler", "Request"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"id": "tnt_1"}, "tnt_1"),
        ({"tenant": "acme", "list": "bounces", "email": "ada@example.com"}, "tenant=acme, list=bounces, email=…"),
        ({"data": Body(site="a.example", for_s=60, reason="ada asked")}, "site=a.example, for_s=60, reason=…"),
        ({"data": Body(emails=["ada@example.com"], scopes=["mail.send", "x"])}, "emails=…, scopes=mail.send x"),
        ({"data": Body(pause=False), "id": "tnt_1"}, "tnt_1, pause=False"),
        ({"before": date(2026, 1, 2), "after": "x", "request": object()}, "before=2026-01-02"),
        ({"of_a_later_release": "ada@example.com"}, "of_a_later_release=…"),
        ({"site": None, "all": True}, "all=True"),
    ],
)
def test_of_a_request_names_and_numbers_are_noted_and_no_text(given: dict[str, object], said: str) -> None:
    assert subject(given) == said


async def test_it_is_noted_before_and_after(operating: Operating) -> None:
    answer = await operating.client.post(f"{ROOT}/suspensions", json={"all": True, "reason": "they asked"})
    assert answer.status_code == 201
    doer = Doer(way="http", operator="installation", address="127.0.0.1")
    assert operating.journal.noted == [(doer, f"POST {ROOT}/suspensions", "all=True, reason=…")]
    assert operating.journal.outcomes == ["done"]


async def test_what_is_refused_is_noted_without_what_was_sent(operating: Operating) -> None:
    answer = await operating.client.post(f"{ROOT}/suspensions", json={"for_s": -1, "all": True, "site": "a.example"})
    assert answer.status_code == 400
    assert operating.journal.outcomes == ["refused: 400"]


async def test_what_is_not_admitted_or_not_read_is_not_noted(operating: Operating) -> None:
    wrong = {"authorization": "Bearer op_wrong"}
    assert (await operating.client.post(f"{ROOT}/suspensions", json={}, headers=wrong)).status_code == 401
    assert (await operating.client.post(f"{ROOT}/suspensions", content=b"{")).status_code == 422
    assert (await operating.client.get(f"{ROOT}/suspensions")).status_code == 200
    assert (await operating.client.options(f"{ROOT}/suspensions")).status_code == 204
    operating.journal.parts = [QueuePart([], None)]
    answer = await operating.client.post(f"{ROOT}/bounce", json={"domain": "example.com", "dry_run": True})
    assert answer.status_code == 200, answer.text
    assert operating.journal.noted == []


async def test_what_cannot_be_noted_is_not_done(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> int:
        raise Unavailable("away")

    monkeypatch.setattr(operating.journal.operator_audit, "begin", away)
    answer = await operating.client.post(f"{ROOT}/tenants", json={"name": "acme"})
    assert answer.status_code == 503


@pytest.mark.parametrize("error", [Unavailable("away"), Rejected("read-only")])
async def test_a_note_without_its_end_does_not_undo_what_was_done(
    operating: Operating, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def away(*_: object) -> int:
        raise error

    monkeypatch.setattr(operating.journal.operator_audit, "end", away)
    assert (await operating.client.post(f"{ROOT}/tenants", json={"name": "acme"})).status_code == 201
    refused = await operating.client.post(f"{ROOT}/suspensions", json={"for_s": -1, "all": True, "site": "a.example"})
    assert refused.status_code == 400 and "for_s" in refused.text
    assert operating.journal.outcomes == ["", ""]


async def test_what_the_journal_does_not_take_is_noted_by_its_number(operating: Operating) -> None:
    answer = await operating.client.post(f"{ROOT}/tenants", json={"name": "ac\0me"})
    assert answer.status_code == 400 and "name" in answer.text
    assert operating.journal.noted[-1][2] == "name=ac\\x00me"
    notes = Notes(operating.journal.operator_audit)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        async with notes.of(Doer(way="http", operator="ada"), "ask", "SELECT 1,\n\t'\ud800'", refused=str):
            raise ValueError("no\0\ud800" + "x" * LONGEST)
    assert operating.journal.noted[-1][2] == "SELECT 1,\n\t'\\ud800'"
    assert operating.journal.outcomes[-1] == ("refused: no\\x00\\ud800" + "x" * LONGEST)[:LONGEST]


async def test_the_command_line_tells_who_types_and_what(operating: Operating) -> None:
    headers = {OPERATOR: in_header("ödön@mta1 (sudo ada)"), COMMAND: in_header("postray tenants add")}
    await operating.client.post(f"{ROOT}/tenants", json={"name": "acme"}, headers=headers)
    doer = Doer(way="command", operator="ödön@mta1 (sudo ada)", address="127.0.0.1")
    assert operating.journal.noted == [(doer, "postray tenants add", "name=acme")]


async def test_a_token_of_an_operator_goes_by_its_own_name(operating: Operating) -> None:
    made = (await operating.client.post(f"{ROOT}/operator-tokens", json={"name": "ada"})).json()
    headers = {"authorization": f"Bearer {made['token']}", OPERATOR: "root@mta1", COMMAND: "postray status"}
    await operating.client.post(f"{ROOT}/tenants", json={"name": "acme"}, headers=headers)
    doer, command, _ = operating.journal.noted[-1]
    assert (doer.way, doer.operator, command) == ("http", "ada", f"POST {ROOT}/tenants")
    assert made["token"] not in str(operating.journal.noted)


async def test_a_key_or_token_in_the_place_of_an_id_is_not_noted(operating: Operating) -> None:
    for secret in (new_key(sandbox=False)[0], new_operator_token()[0]):
        await operating.client.delete(f"{ROOT}/keys/{secret}")
        await operating.client.delete(f"{ROOT}/operator-tokens/{secret}")
        assert secret not in str(operating.journal.noted) and secret[:11] in str(operating.journal.noted)


@pytest.mark.parametrize("text", ["root@mta1", "ödön\r\nX: y@h", "a" * 1000, "\u202e", "%41", ""])
def test_what_headers_tell_is_one_line_of_bounded_length(text: str) -> None:
    value = in_header(text)
    assert value.isascii() and value.isprintable()
    told = of_header(value)
    assert told.isprintable() and len(told) <= LONGEST_NAME
    assert told == text[:LONGEST_NAME] or not text.isprintable()
