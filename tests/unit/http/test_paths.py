"""One spelling of a path routes."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.http.paths import is_spelled, is_spelled_with_slash

WORDS = {b"v3", b"scopes", b"messages", b"api_keys", b"openapi.json", b"suppression", b"bounces", b"cancel"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v3/scopes",
        "/v3/messages/msg_1/cancel",
        "/v3/suppression/bounces/a%40b.example",
        "/v3/suppression/bounces/a@b.example",
        "/v3/suppression/bounces/%C3%BC%2Bx%25@b%2Eexample",
        "/schema/openapi.json",
        "/.well-known/x",
    ],
)
def test_the_one_spelling(path: str) -> None:
    assert is_spelled(path.encode(), WORDS)


@pytest.mark.parametrize(
    "path",
    [
        "//v3/scopes",
        "/v3//scopes",
        "/v3/scopes/",
        "/v3/scopes//",
        "//",
        "/v3/scopes%2f",
        "/v3%2Fscopes",
        "/%2fv3/scopes",
        "/v3/./scopes",
        "/v3/../v3/scopes",
        "/v3/%2e/scopes",
        "/v3/%2E%2e/scopes",
        "/v3/messages/.",
        "/v3/s%63opes",
        "/%76%33/scopes",
        "/v3/api%5Fkeys",
        "/schema/openapi%2Ejson",
        "/v3/messages/a%2Fcancel",
    ],
)
def test_others(path: str) -> None:
    assert not is_spelled(path.encode(), WORDS)


ROUTES = [[b"v3", b"suppression", b"bounces", None], [b"v3", b"groups", None, b"suppressions", None]]


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("/v3/suppression/bounces/a%2Fb@c.example", True),
        ("/v3/suppression/bounces/a%2fb%40c.example", True),
        ("/v3/suppression/bounces/%2F%2F..%2F@c.example", True),
        ("/v3/groups/12/suppressions/a%2Fb@c.example", True),
        ("/v3/suppression/bounces/a%2Fb", False),
        ("/v3/suppression/bounces%2Fa@c.example", False),
        ("/v3/suppression/b%6Funces/a%2Fb@c.example", False),
        ("/v3/suppression//a%2Fb@c.example", False),
        ("/v3/suppression/bounces/a%2Fb@c.example/", False),
        ("/v3/suppression/bounces/a%2Fb@ü.example", False),
        ("/v3/messages/a%2Fb@c.example", False),
        ("/v3/groups/1%2F2/suppressions/a@c.example", False),
    ],
)
def test_an_address_at_the_end_may_hold_a_slash(path: str, spelled: bool) -> None:
    assert is_spelled_with_slash(path.encode(), WORDS | {b"groups", b"suppressions"}, ROUTES) is spelled


@given(value=st.text(min_size=1).filter(lambda value: "/" not in value and value not in (".", "..")))
def test_a_parameter_may_be_anything_but_a_slash(value: str) -> None:
    raw = f"/v3/suppression/bounces/{quote(value, safe='', errors='replace')}".encode()
    assert is_spelled(raw, WORDS)


@given(raw=st.binary())
def test_octets_are_spelled_or_not(raw: bytes) -> None:
    assert is_spelled(b"/" + raw, WORDS) in (True, False)
