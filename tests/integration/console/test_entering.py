"""Logging in and out of the console, and who is kept out."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from api.console.requests import COOKIE, FORM_BYTES
from cluster.journal.operator_audit import NEWEST
from tests.integration.console.conftest import Console, csrf


async def commands(console: Console) -> list[tuple[str, str, str]]:
    found = await console.postray.journal.operator_audit.latest(NEWEST, 100)
    return [(one.doer.operator, one.command, one.outcome) for one in reversed(found)]


async def test_without_a_login_every_page_leads_to_it(visitor: Console) -> None:
    answer = await visitor.http.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert (await visitor.http.get("/live/now")).status_code == 401
    assert (await visitor.http.post("/logout", data={"csrf": "x"})).status_code == 303
    assert (await visitor.http.get("/nothing")).status_code == 404


async def test_an_operator_logs_in_and_out_and_a_cookie_of_before_is_worth_nothing(visitor: Console) -> None:
    secret = await visitor.named_token("ada")
    answer = await visitor.login(secret)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    attributes = answer.headers["set-cookie"]
    assert "HttpOnly" in attributes and "SameSite=strict" in attributes and "Secure" not in attributes
    stolen = visitor.http.cookies[COOKIE]
    page = await visitor.http.get("/")
    assert page.status_code == 200 and "ada" in page.text and secret not in page.text
    assert (await visitor.send("/", "/logout")).headers["location"] == "/login"
    async with httpx.AsyncClient(base_url=visitor.http.base_url, cookies={COOKIE: stolen}) as thief:
        assert (await thief.get("/")).status_code == 303
    assert await commands(visitor) == [("ada", "log in", "done"), ("ada", "log out", "done")]


async def test_a_session_ends_with_its_token_and_with_its_time(visitor: Console, journal_dsn: str) -> None:
    secret = await visitor.named_token("ada")
    await visitor.login(secret)
    assert (await visitor.http.get("/")).status_code == 200
    await visitor.postray.journal.operator_tokens.revoke("ada", datetime.now(UTC))
    assert (await visitor.http.get("/")).status_code == 303
    await visitor.login()
    assert (await visitor.http.get("/")).status_code == 200
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute("UPDATE console_sessions SET expires_at = %s", [datetime.now(UTC) - timedelta(1)])
    assert (await visitor.http.get("/")).status_code == 303


async def test_behind_tls_the_cookie_is_for_tls_alone(visitor: Console) -> None:
    visitor.http.headers["x-forwarded-proto"] = "https"
    page = await visitor.http.get("/login")
    assert "Secure" in page.headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "x", "op_" + "0" * 32, "é", "\0", "x" * 5000])
async def test_a_wrong_token_is_refused_and_further_ones_wait(
    visitor: Console, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await visitor.login(token)).status_code == 403
    assert "auth failed address=127.0.0.1 user=console" in caplog.text
    again = await visitor.login()  # also a right one: it would tell that it is right
    assert again.status_code == 429 and int(again.headers["retry-after"]) >= 1
    assert COOKIE not in visitor.http.cookies
    assert await commands(visitor) == []


async def test_a_form_is_taken_from_a_page_of_the_console_alone(console: Console) -> None:
    token = csrf(await console.http.get("/"))
    foreign: list[dict[str, str]] = [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": str(console.http.base_url)},
        {"sec-fetch-site": "same-site"},
    ]
    for headers in foreign:
        answer = await console.http.post("/logout", data={"csrf": token}, headers=headers)
        assert answer.status_code == 403, headers
    for data in ({"other": "x"}, {"csrf": ""}, {"csrf": token[:-1]}, {"csrf": f"{token}x"}, {"csrf": "é"}):
        assert (await console.http.post("/logout", data=data)).status_code == 403
    json = await console.http.post("/logout", json={"csrf": token})
    assert json.status_code == 415
    assert "Load the page again" in json.text and "JSON" not in json.text
    large = await console.http.post("/logout", data={"csrf": token, "more": "x" * FORM_BYTES})
    assert large.status_code == 413
    many = await console.http.post("/logout", data={"csrf": token, **{f"f{i}": "" for i in range(100)}})
    assert many.status_code == 403
    assert (await console.http.get("/")).status_code == 200
    here = {"origin": str(console.http.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert (await console.http.post("/logout", data={"csrf": token}, headers=here)).status_code == 303


async def test_the_login_has_a_token_of_its_own(visitor: Console) -> None:
    """Otherwise another page could log a browser in as another operator."""
    answer = await visitor.http.post("/login", data={"csrf": "", "token": visitor.token})
    assert answer.status_code == 403 and COOKIE not in visitor.http.cookies


@pytest.mark.parametrize(
    ("after", "leads_to"),
    [
        ("/?site=a.example", "/?site=a.example"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/logout", "/"),
        ("/\r\nset-cookie: a=b", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
async def test_a_login_leads_to_a_page_of_the_console(visitor: Console, after: str, leads_to: str) -> None:
    answer = await visitor.login(next=after)
    assert answer.headers["location"] == leads_to


async def test_what_every_answer_says_to_the_browser(console: Console) -> None:
    for path in ("/", "/login", "/static/console.js", "/nothing", "/static/nothing"):
        answer = await console.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy, path
        assert answer.headers["x-frame-options"] == "DENY" and answer.headers["x-content-type-options"] == "nosniff"
        assert "<script>" not in answer.text and " style=" not in answer.text and " on" + "click" not in answer.text
    assert (await console.http.get("/")).headers["cache-control"] == "no-store"


async def test_the_operators_api_answers_there_too_and_nothing_else(console: Console) -> None:
    operator = {"authorization": f"Bearer {console.token}"}
    answer = await console.http.get("/api/admin/sites", headers=operator)
    assert answer.status_code == 200 and answer.json()["sites"]
    assert (await console.http.get("/api/admin/sites")).status_code == 401  # the cookie is not for the API
    for path in ("/v3/messages", "/healthz", "/metrics", "/docs", "/schema/openapi.json"):
        assert (await console.http.get(path, headers=operator)).status_code == 404, path


async def test_the_journal_away(console: Console) -> None:
    await console.postray.journal.close()
    answer = await console.http.get("/")
    assert answer.status_code == 503 and "journal" in answer.text and "retry-after" in answer.headers


async def test_a_stop_does_not_wait_for_live_pages(console: Console) -> None:
    async with console.http.stream("GET", "/live/now", timeout=20) as live:
        assert live.headers["content-type"].startswith("text/event-stream")
        parts = live.aiter_lines()
        while await anext(parts) != "event: part":
            pass
        before = asyncio.get_running_loop().time()
        await console.postray.server.stop()
        assert asyncio.get_running_loop().time() - before < 2.5


async def test_a_live_page_ends_with_the_login(console: Console) -> None:
    async with console.http.stream("GET", "/live/now", timeout=30) as live:
        parts = live.aiter_lines()
        while await anext(parts) != "event: part":
            pass
        await console.send("/", "/logout")
        assert "event: ended" in [line async for line in parts]
