"""Access tokens: what they are asked for with, and what is read of the answer."""

import json
from base64 import b64decode

import pytest

from cluster.vault import Vault
from cluster.webhooks.oauth import Credentials, NoToken, opened, token_of
from tests.domains import SECRET

CREDENTIALS = Credentials(client_id="id:1", client_secret="s%c rét", token_url="https://login.example.com/token")


def test_the_credentials_are_form_encoded_first() -> None:
    scheme, pair = CREDENTIALS.authorization.split()
    assert (scheme, b64decode(pair)) == ("Basic", b"id%3A1:s%25c+r%C3%A9t")


def test_they_are_kept_encrypted() -> None:
    vault = Vault(SECRET)
    sealed = CREDENTIALS.sealed(vault)
    assert b"id:1" not in sealed
    assert opened(sealed, vault) == CREDENTIALS


@pytest.mark.parametrize(
    ("expires_in", "use_s"),
    [({}, 270), ({"expires_in": 3600}, 3570), ({"expires_in": "60"}, 30), ({"expires_in": 5}, 0)],
)
def test_a_token_is_used_until_shortly_before_its_end(expires_in: dict[str, object], use_s: float) -> None:
    token = token_of(json.dumps({"access_token": "abc", "token_type": "bearer"} | expires_in))
    assert (token.text, token.use_s) == ("abc", use_s)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "no",
        '{"token_type": "Bearer"}',
        '{"access_token": "abc", "token_type": "mac"}',
        '{"access_token": "", "token_type": "Bearer"}',
        '{"access_token": "a\\r\\nX-Other: b", "token_type": "Bearer"}',
        '{"access_token": "a b", "token_type": "Bearer"}',
        '{"access_token": "\\u00e9", "token_type": "Bearer"}',
        json.dumps({"access_token": "a" * 9000, "token_type": "Bearer"}),
        "[" * 100_000,
    ],
)
def test_what_is_no_token(body: str) -> None:
    with pytest.raises(NoToken):
        token_of(body)
