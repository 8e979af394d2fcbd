"""The page on the real HTTP server: what people and programs see, and what hostile mail must not do."""

import asyncio
from email.message import EmailMessage
from html import unescape
from urllib.parse import quote

import aiosmtplib
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.capture.sink import CaptureAddresses
from tests.integration.capture.test_mime_view import BROKEN

# Each test starts the whole sink; the other modules try both loops.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

SCRIPT = "<script>alert('owned')</script>"
PIXEL = b"GIF89a\x01\x00\x01\x00"


async def send(addresses: CaptureAddresses, message: EmailMessage | bytes, sender: str = "a@example.com") -> None:
    host, _, port = addresses.smtp.rpartition(":")
    raw = message if isinstance(message, bytes) else message.as_bytes()
    async with aiosmtplib.SMTP(hostname=host, port=int(port), start_tls=False) as client:
        await client.sendmail(sender, ["b@example.org"], raw)


def newsletter() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = f'"{SCRIPT}" <a@example.com>', "b@example.org"
    message["Subject"] = f"News {SCRIPT}"
    message["DKIM-Signature"] = "v=1; a=ed25519-sha256; d=example.com; s=k1; bh=x; b=y"
    message.set_content(f"plain {SCRIPT}")
    message.add_alternative(f'<img src="cid:logo"><img src="https://tracker.example/p.gif">{SCRIPT}', subtype="html")
    _, related = message.iter_parts()
    assert isinstance(related, EmailMessage)
    related.add_related(PIXEL, "image", "gif", cid="<logo>")
    message.add_attachment(SCRIPT, subtype="html", filename='Übel".html')
    return message


async def test_list_search_and_delete(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    assert "No mail yet" in (await http.get("/")).text
    for number in range(53):
        await send(addresses, f"Subject: letter {number}\r\n\r\nx\r\n".encode())
    first, second = (await http.get("/")).text, (await http.get("/", params={"page": 2})).text
    assert "53 messages" in first and "letter 52" in first and "letter 2<" not in first
    assert "letter 2<" in second and "51 to 53 of 53" in second
    found = (await http.get("/", params={"search": "LETTER 41"})).text
    assert "1 found for" in found and "letter 41" in found
    assert "Nothing matches" in (await http.get("/", params={"search": SCRIPT})).text
    assert (await http.get("/api/messages", params={"page_size": 2, "page": 2})).json()["messages"][0]["id"] == 51
    head = await http.head("/messages/1")
    assert (head.status_code, head.content) == (200, b"")
    assert (await http.delete("/api/messages")).json() == {"deleted": 53}
    assert (await http.get("/api/messages")).json() == {"messages": [], "total": 0}


async def test_hostile_mail_is_escaped(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    await send(addresses, newsletter())
    views = [f"/messages/1?view={view}" for view in ("", "text", "headers", "source")]
    for path in ("/", f"/?search={SCRIPT}", *views):
        response = await http.get(path)
        assert response.status_code == 200
        assert "<script>alert" not in response.text and "<script>alert" in unescape(response.text), path
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe-inline" not in policy


async def test_the_frame_is_sandboxed_and_loads_nothing_remote(
    addresses: CaptureAddresses, http: httpx.AsyncClient
) -> None:
    await send(addresses, newsletter())
    page = (await http.get("/messages/1")).text
    assert '<iframe sandbox="" src="/messages/1/html"' in page
    assert "example.com <span" in page and "selector k1, ed25519-sha256" in page
    framed = await http.get("/messages/1/html")
    policy = framed.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; img-src 'self' data:;")
    assert "script-src" not in policy and "https:" not in policy
    assert '<img src="/messages/1/parts/2">' in framed.text


async def test_a_mail_at_the_width_of_a_phone(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    await send(addresses, newsletter())
    assert 'class="phone"' not in (await http.get("/messages/1")).text
    assert '<iframe sandbox="" src="/messages/1/html"' in (await http.get("/messages/1?width=phone")).text
    assert 'class="phone"' in (await http.get("/messages/1?width=phone")).text


async def test_links_are_listed(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    html = '<a href="https://a.example/?a=1&amp;b=2">Read <b>on</b></a><a href="javascript:alert(1)">odd</a>'
    await send(addresses, f"Content-Type: text/html\r\n\r\n{html}\r\n".encode())
    page = (await http.get("/messages/1?view=links")).text
    assert "Links (2)" in page and "<span>Read on</span>" in page
    assert '<a href="https://a.example/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">' in page
    assert "javascript:alert(1)" in page and 'href="javascript:' not in page
    await send(addresses, b"Subject: x\r\n\r\nno links\r\n")
    assert "This message has no links" in (await http.get("/messages/2?view=links")).text


async def test_snippet_mark_and_unread(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    await send(addresses, newsletter())
    await send(addresses, b"Subject: y\r\n\r\nHello\r\n  Ada\r\n")
    page = (await http.get("/")).text
    assert "2 messages, 2 unread" in page and "<title>2 captured, 2 unread" in page
    assert '<span class="snippet">Hello Ada</span>' in page
    assert page.count("With attachments</title>") == 1
    assert (await http.get("/messages/2?view=source")).status_code == 200
    page = (await http.get("/")).text
    assert "2 messages, 1 unread" in page and page.count("row unread") == 1
    listed = (await http.get("/api/messages")).json()["messages"]
    assert [(message["unread"], message["message_id"]) for message in listed] == [(False, ""), (True, "")]


async def test_texts_are_searched(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    await send(addresses, b"Subject: y\r\n\r\nHello\r\n  Ada\r\n")
    assert "1 found for" in (await http.get("/", params={"search": "hello ada"})).text
    assert (await http.get("/api/messages", params={"search": "hello ada"})).json()["total"] == 1
    assert "Nothing matches" in (await http.get("/", params={"search": "hello eve"})).text


async def test_one_is_deleted(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    for _ in range(2):
        await send(addresses, b"Subject: x\r\n\r\nx\r\n")
    assert 'data-delete="1"' in (await http.get("/messages/1")).text
    assert (await http.delete("/api/messages/1")).json() == {"deleted": 1}
    missing = await http.delete("/api/messages/1")
    assert missing.status_code == 404 and missing.json()["detail"].startswith("There is no such message.")
    assert (await http.delete(f"/api/messages/{2**70}")).status_code == 404
    assert [message["id"] for message in (await http.get("/api/messages")).json()["messages"]] == [2]
    assert (await http.delete("/api/messages/2", headers={"Host": "rebound.evil.example"})).status_code == 421


async def test_parts(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    await send(addresses, newsletter())
    image = await http.get("/messages/1/parts/2")
    assert image.content == PIXEL and image.headers["content-type"] == "image/gif"
    attached = await http.get("/messages/1/parts/3")
    assert attached.text.strip() == SCRIPT
    assert attached.headers["content-type"] == "application/octet-stream"
    assert attached.headers["x-content-type-options"] == "nosniff"
    assert (
        attached.headers["content-disposition"]
        == "attachment; filename=\"_bel_.html\"; filename*=UTF-8''%C3%9Cbel%22.html"
    )
    parts = (await http.get("/api/messages/1")).json()["parts"]
    assert [(part["content_type"], part["inline"]) for part in parts] == [
        ("text/plain", True),
        ("text/html", True),
        ("image/gif", True),
        ("text/html", False),
    ]


async def test_the_source_can_be_downloaded_as_it_came(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    await send(addresses, b"Subject: x\r\n\r\n.dots\r\n")
    raw = await http.get("/messages/1/raw")
    assert raw.content == b"Subject: x\r\n\r\n.dots\r\n"
    assert raw.headers["content-type"].startswith("message/rfc822")
    assert raw.headers["content-disposition"].startswith('attachment; filename="message-1.eml"')


async def test_what_is_not_there(http: httpx.AsyncClient) -> None:
    for path in ("7", "7/html", "7/raw", "7/parts/0", str(2**64), "x"):
        response = await http.get(f"/messages/{path}")
        assert response.status_code == 404 and "Not found" in response.text
        assert "default-src 'none'" in response.headers["content-security-policy"]
    answer = await http.get("/api/messages/7")
    assert answer.status_code == 404 and answer.json()["detail"].startswith("There is no such message.")


async def test_foreign_host_names_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/messages", headers={"Host": "rebound.evil.example"})).status_code == 421
    assert (await http.delete("/api/messages", headers={"Host": "rebound.evil.example"})).status_code == 421
    for host in ("localhost:8025", "127.0.0.1", "[::1]:80", "mail.localhost"):
        assert (await http.get("/api/messages", headers={"Host": host})).status_code == 200


async def test_impossible_hosts_are_refused(http: httpx.AsyncClient) -> None:
    for host in ("127.0.0.1:99999", "127.0.0.1:x", "[::1", "[::1::]", "localhost:80:80"):
        for path in ("/", "/api/messages", "/nothing"):
            assert (await http.get(path, headers={"Host": host})).status_code == 400, host


async def test_one_spelling_of_a_path(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/messages")).status_code == 200
    for path in ("//api/messages", "/api/messages/", "/api%2fmessages"):
        assert (await http.get(addresses.page + path)).status_code == 404, path


async def test_a_head_without_end_is_refused(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    host, _, port = addresses.page.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
    async with asyncio.timeout(30):
        assert b" 431 " in await reader.readline()
    writer.close()
    assert (await http.get("/")).status_code == 200


async def test_bad_queries_are_refused(http: httpx.AsyncClient) -> None:
    for query in ("page=0", "page=x", "page_size=0", "page_size=99999", "search=" + "x" * 501):
        assert (await http.get(f"/api/messages?{query}")).status_code == 400, query


async def test_what_turns_or_hides_text_is_shown_by_its_number(
    addresses: CaptureAddresses, http: httpx.AsyncClient
) -> None:
    turned = "\u202egnp.exe\x1b\u2066"
    message = EmailMessage()
    message.set_content(f"text {turned}\n")
    message.add_attachment(b"x", "text", "csv", filename=f"{turned}.csv")
    head = f"Subject: subject {turned}\r\nFrom: {turned} <a@example.com>\r\nTo: {turned}\r\n"
    await send(addresses, head.encode() + message.as_bytes())
    views = [f"/messages/1?view={view}" for view in ("", "text", "headers", "source")]
    for path in ("/", f"/?search={quote(turned)}", *views):
        page = (await http.get(path)).text
        assert "\\u202egnp.exe\\x1b\\u2066" in page, path
        assert not {"\u202e", "\x1b", "\u2066", "\r"} & set(page), path
    assert (await http.get("/api/messages/1")).json()["message"]["subject"] == f"subject {turned}"


NAMES = st.sampled_from(
    [b"From", b"To", b"Subject", b"X", b"DKIM-Signature", b"Content-Type", b"Content-Disposition", b"Content-ID"]
)
PIECES = st.sampled_from(
    [
        *(b"(", b'"', b"<", b"[", b"@", b",", b";", b":", b"\\", b"=", b"%", b"a", b"\xff", b"\x1b", b"\r\n ", b" "),
        *(b"=?utf-8?q?", b"=?utf-8?b?", b"=?punycode?q?", b"=?unicode_escape?q?=5Cud800?=", b"?=", "\u202e".encode()),
        *(b"text/plain; charset=", b"multipart/mixed; boundary=", b"message/rfc822", b"attachment; filename"),
        *(b"*0*=", b"utf-8''%ff", b"raw_unicode_escape''%5Cud800"),
    ]
)
VALUES = st.lists(st.tuples(PIECES, st.sampled_from([1, 1, 2, 100, 3000])).map(lambda run: run[0] * run[1]), max_size=4)
HEADERS = st.lists(st.tuples(NAMES, VALUES.map(b"".join)).map(lambda field: b"%s: %s\r\n" % field), max_size=5)


@given(HEADERS.map(b"".join))
@example(b"From: " + b"(" * 50_000 + b"\r\n")
@example(b"To: " + b"(" * 50_000 + b"\r\nSubject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n")
async def test_whatever_headers_come_the_pages_answer(
    addresses: CaptureAddresses, http: httpx.AsyncClient, headers: bytes
) -> None:
    await send(addresses, headers + b"\r\nbody\r\n")
    message_id = (await http.get("/api/messages")).json()["messages"][0]["id"]
    views = [f"/messages/{message_id}?view={view}" for view in ("", "html", "text", "headers", "source")]
    for path in ("/", *views, f"/messages/{message_id}/raw", f"/api/messages/{message_id}"):
        assert (await http.get(path)).status_code == 200, path


async def test_a_page_that_cannot_be_made_is_in_the_log(
    addresses: CaptureAddresses,
    http: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(raw: bytes) -> None:
        raise ZeroDivisionError

    await send(addresses, b"Subject: x\r\n\r\nx\r\n")
    monkeypatch.setattr("actors.capture.mime_view.view", fail)
    assert (await http.get("/messages/1")).status_code == 500
    assert (await http.get("/messages/2")).status_code == 404
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "a page cannot be made path='/messages/1'"
    ]


async def test_broken_mail_can_be_shown(addresses: CaptureAddresses, http: httpx.AsyncClient) -> None:
    await asyncio.gather(*(send(addresses, raw.replace(b"\r\n", b"\n")) for raw in BROKEN.values()))
    for message_id in range(1, len(BROKEN) + 1):
        assert (await http.get(f"/messages/{message_id}")).status_code == 200
    assert (await http.get("/api/messages", params={"search": "grüße"})).json()["total"] == 1
