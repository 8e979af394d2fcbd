"""Whatever a request says, its answer is in the contract: bodies, gzip, header fields, paths."""

import gzip
import json
import zlib
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World

KNOWN = (200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 413, 415, 422)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
_TEXT = st.text(max_size=40) | st.sampled_from(
    ["", "a@example.com", "é@bücher.example", "text/plain", "text/html", "\r\n"]
)
_BOX = st.fixed_dictionaries({"email": _TEXT}, optional={"name": _TEXT}) | _JSON
_BOXES = st.lists(_BOX, max_size=3) | _JSON
_MAP = st.dictionaries(_TEXT, _TEXT, max_size=3) | _JSON
_PERSONALIZATION = st.fixed_dictionaries(
    {"to": _BOXES},
    optional={
        "cc": _BOXES, "bcc": _BOXES, "from": _BOX, "subject": _TEXT, "headers": _MAP, "substitutions": _MAP,
        "custom_args": _MAP, "dynamic_template_data": _MAP, "send_at": st.integers() | _JSON,
    },
)  # fmt: skip
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "personalizations": st.lists(_PERSONALIZATION, max_size=3) | _JSON,
        "from": _BOX, "subject": _TEXT, "reply_to": _BOX, "reply_to_list": _BOXES, "headers": _MAP, "custom_args": _MAP,
        "content": st.lists(st.fixed_dictionaries({"type": _TEXT, "value": _TEXT}), max_size=3) | _JSON,
        "attachments": st.lists(
            st.dictionaries(
                st.sampled_from(["content", "type", "filename", "disposition", "content_id"]), _TEXT, max_size=5
            ),
            max_size=3,
        ) | _JSON,
        "categories": st.lists(_TEXT, max_size=3) | _JSON,
        "send_at": st.integers() | _JSON, "batch_id": _TEXT, "asm": _JSON, "ip_pool_name": _TEXT, "lifetime": _JSON,
        "mail_settings": _JSON, "tracking_settings": _JSON, "template_id": _TEXT,
    },
)  # fmt: skip


def is_an_answer(response: httpx.Response) -> None:
    assert response.status_code in KNOWN, response.text
    if response.status_code >= 400:
        answer = response.json()
        assert answer["errors"]
        assert answer["detail"]


@given(_BODY)
async def test_any_body_in_the_shape_of_a_request_is_accepted_or_its_faults_are_named(
    world: World, changes: dict[str, Any]
) -> None:
    is_an_answer(await world.send(mail() | changes))


@given(_JSON | st.binary(max_size=200))
async def test_any_other_body_is_refused(world: World, body: Any) -> None:
    response = await world.send(body if isinstance(body, bytes) else json.dumps(body).encode("utf-8", "surrogatepass"))
    is_an_answer(response)
    assert response.status_code in (400, 422)


ZIPPED = gzip.compress(json.dumps(mail()).encode())


@given(st.data())
async def test_a_gzip_body_is_read_whatever_its_pieces_are(world: World, data: st.DataObject) -> None:
    """Consecutive gzip members (RFC 1952 §2.2), some of them empty, that arrive in any pieces."""
    body = json.dumps(mail()).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    ends = [0, *cuts, len(body)]
    zipped = b"".join(
        gzip.compress(body[start:end], compresslevel=data.draw(st.integers(0, 9)), mtime=0)
        for start, end in pairwise(ends)
    )
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=5))

    async def pieces() -> Any:
        at = turn = 0
        while at < len(zipped):
            size = sizes[turn % len(sizes)]
            yield zipped[at : at + size]
            at, turn = at + size, turn + 1

    headers = {"Authorization": f"Bearer {world.key}", "Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await world.client.post("/v3/mail/send", content=pieces(), headers=headers)
    assert response.status_code == 202, response.text


@given(st.data())
async def test_a_damaged_gzip_body_is_refused_or_read(world: World, data: st.DataObject) -> None:
    damaged = bytearray(ZIPPED)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    response = await world.send(body, **{"Content-Encoding": "gzip"})
    is_an_answer(response)
    assert response.status_code in (202, 400, 422)


@given(st.binary(max_size=100))
async def test_what_is_no_gzip_is_refused(world: World, body: bytes) -> None:
    response = await world.send(body, **{"Content-Encoding": "gzip"})
    assert response.status_code in (400, 422), response.text


async def test_deflated_without_a_gzip_head_is_no_gzip(world: World) -> None:
    response = await world.send(zlib.compress(b"{}"), **{"Content-Encoding": "gzip"})
    assert response.status_code == 400


_FIELD = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)


@given(
    st.dictionaries(
        st.sampled_from(
            ["Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key", "Accept", "Host", "If-None-Match"]
        ),
        _FIELD,
    )
)
async def test_any_header_fields_have_an_answer(world: World, fields: dict[str, str]) -> None:
    known = {"Authorization": f"Bearer {world.key}"}
    headers = {name.encode(): value.encode("latin-1") for name, value in (known | fields).items()}
    body = json.dumps(mail()).encode()
    is_an_answer(await world.client.post("/v3/mail/send", content=body, headers=headers))


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    st.sampled_from(["/v3/messages", "/v3/messages/", "/v3/mail/batch/", "/v3/user/scheduled_sends/", "/"]),
    st.binary(max_size=20),
    st.dictionaries(
        st.sampled_from(["page", "page_size", "status", "to_email", "after", "start_date", "end_date", "limit"]),
        st.text(max_size=20),
        max_size=3,
    ),
)
async def test_any_path_and_query_has_an_answer(
    world: World, method: str, base: str, rest: bytes, query: dict[str, str]
) -> None:
    path = base + quote(rest) if base.endswith("/") else base
    is_an_answer(await world.request(method, f"{path}?{urlencode(query)}"))
