"""No input makes a 500."""

import json
from typing import Any

import pytest

from tests.unit.api.bodies import attachment, mail, to
from tests.unit.api.conftest import World

RAW = [
    b"null",
    b"true",
    b"0",
    b'""',
    b"NaN",
    b"Infinity",
    b"-",
    b"1e999",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{}",
    b"\x00",
    b"{}" * 2,
    b'{"a":1,}',
    b'{"from":{"email":"\xff"}}',
    b'{"subject":"a\x00b"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 900 + b"]" * 900,
    b'{"custom_args":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
    b'{"unknown":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"send_at":' + b"9" * 400 + b"}",
    b'{"send_at":-' + b"9" * 5000 + b"}",
    b'{"custom_args":{"a":1e400}}',
    b'{"custom_args":{"a":' + b"9" * 400 + b"}}",
    b'{"custom_args":{"a":' + b"9" * 5000 + b"}}",
    b'{"subject":"' + b"\\ud800" + b'"}',
    b'{"subject":"' + b"\\udc00" + b'"}',
    b'{"subject":"\\ud83d\\ude00"}',
    b'{"\\ud800":1}',
    b'{"custom_args":{"\\udfff":"\\ud800"}}',
]


@pytest.mark.parametrize("body", RAW, ids=lambda body: ascii(body[:40]))
async def test_bytes(world: World, body: bytes) -> None:
    response = await world.send(body)
    assert response.status_code in (400, 422), response.text
    assert response.json()["errors"]


@pytest.mark.parametrize("escape", [b"\\ud800", b"\\udc00", b"\\ud800x", b"\\ud800\\ud800", b"\\uDBFF\\u0041"])
async def test_lone_surrogates_are_no_text(world: World, escape: bytes) -> None:
    body = json.dumps(mail(subject="SUBJECT")).encode().replace(b"SUBJECT", b"a" + escape + b"b")
    response = await world.send(body)
    assert response.status_code == 400
    assert "surrogate" in response.json()["detail"]
    assert [error["field"] for error in response.json()["errors"]] == ["subject"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"headers": {"X": "\\ud800"}}', "headers.X"),
        (b'{"personalizations": [{}, {"to": [{"name": "\\udc00"}]}]}', "personalizations[1].to[0].name"),
        (b'{"custom_args": {"a": ["b", {"\\udfff": 1}]}}', "custom_args.a[1]"),
        (b'{"\\ud800": 1}', None),
        (b'{"categories": ["\\ud83d\\ude00", "\\ud83d"]}', "categories[1]"),
    ],
)
async def test_the_place_of_half_a_surrogate_pair(world: World, body: bytes, field: str | None) -> None:
    response = await world.send(body)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_what_is_no_json_beside_half_a_surrogate_pair(world: World) -> None:
    assert (await world.send(b'{"subject": "\\ud800"')).status_code == 422


FULL = mail(
    personalizations=[
        to(
            "a@example.com",
            cc=[{"email": "b@example.com", "name": "B"}],
            bcc=[{"email": "c@example.com"}],
            subject="x",
            headers={"X": "x"},
            substitutions={"a": "b"},
            dynamic_template_data={"a": [{"b": 1}]},
            custom_args={"a": None},
            send_at=1,
            **{"from": {"email": "x@mail.example.com"}},
        )
    ],
    reply_to={"email": "r@example.com"},
    attachments=[attachment(disposition="inline", content_id="x")],
    headers={"X": "x"},
    categories=["a"],
    custom_args={"a": 1},
    send_at=1,
    asm={"group_id": 1, "groups_to_display": [1]},
    ip_pool_name="x",
    mail_settings={"sandbox_mode": {"enable": False}, "footer": {"enable": True, "text": "x", "html": "y"}},
    tracking_settings={"click_tracking": {"enable": True}, "ganalytics": {"utm_source": "x"}},
    batch_id="bat_x",
    template_id="d-x",
)
VALUES: list[Any] = [None, True, -1, 2**70, 1.5, "", "\0", "\r\n", "é\U0001f600", "x" * 70_000, [], [[]], [None], {}]
VALUES += [{"\0": "\0"}, {"": {"": ""}}, [{}] * 1001]


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a body."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


@pytest.mark.parametrize("path", places(FULL), ids=lambda path: ".".join(map(str, path)))
async def test_every_value_in_every_place(world: World, path: tuple[str | int, ...]) -> None:
    for value in VALUES:
        body = json.loads(json.dumps(FULL))
        place = body
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        body_without_known_faults = {k: v for k, v in body.items() if k not in ("asm", "template_id", "batch_id")}
        for sent in (body, body_without_known_faults):
            response = await world.send(json.dumps(sent).encode())
            assert response.status_code in (202, 400, 403, 422), (value, response.text)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v3",
        "/v3/mail/send/",
        "/v3/mail/batch/%00",
        "/v3/mail/batch/bat_%F0%9F%98%80",
        "/v3/messages/%ED%A0%80",
        "/v3/messages/" + "x" * 5000,
        "/v3/messages/..%2F..%2Fetc/cancel",
        "/v3/messages?page=0",
        "/v3/messages?page=-1&page_size=101",
        "/v3/messages?page=" + "9" * 400,
        "/v3/messages?page=" + "9" * 5000,
        "/v3/messages?page=NaN&page_size=1.5",
        "/v3/messages?status=nope&start_date=yesterday&end_date=0000-00-00&after=x",
        "/v3/messages?start_date=0001-01-01T00:00:00%2B23:59&end_date=9999-12-31",
        "/v3/messages?to_email=%00&to_email=%ED%A0%80&subject=%FF",
        "/v3/whitelabel/domains/" + "9" * 400,
        "/v3/whitelabel/domains/-1",
    ],
    ids=lambda path: path[:40],
)
async def test_paths_and_queries(world: World, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        response = await world.request(method, path)
        assert response.status_code in (200, 201, 302, 400, 403, 404, 405, 422), response.text
        if response.status_code >= 400:
            answer = response.json()
            assert answer["errors"] and answer["detail"]
        if response.status_code == 405:
            assert response.headers["allow"]
