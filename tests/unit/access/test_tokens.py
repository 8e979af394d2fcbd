"""JWTs: what is accepted, for how long, and everything that is refused."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cluster.access.claims import BadToken
from cluster.access.tokens import LONGEST_TOKEN, SignedTokens
from tests.unit.access.issuer import NOW, SECRET, SUSPENDED, TENANT, Issuer, private_key, public_jwk


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(head: Any, payload: bytes, secret: bytes = SECRET.encode()) -> str:
    """A token with this head and payload, signed with HMAC-SHA256."""
    signed = f"{b64(json.dumps(head).encode())}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


async def refused(tokens: SignedTokens, token: str) -> str:
    with pytest.raises(BadToken) as caught:
        await tokens.key(token)
    return caught.value.reason


@pytest.mark.parametrize(("algorithm", "kid"), [("HS256", None), ("RS256", "r"), ("ES256", "e"), ("EdDSA", "d")])
async def test_a_token_is_a_key_of_its_tenant(algorithm: str, kid: str | None) -> None:
    issuer = Issuer()
    key = await issuer.tokens.key(issuer.token(algorithm, kid=kid))
    assert (key.tenant_id, key.scopes, key.sandbox, key.id) == (TENANT, frozenset({"mail.send"}), False, "jwt:ada")


@pytest.mark.parametrize(
    ("scopes", "granted"),
    [
        (["mail.send", "stats.read", "no.such"], {"mail.send", "stats.read"}),
        ("mail.send  openid stats.read", {"mail.send", "stats.read"}),
        (["mail.send", "mail.send"], {"mail.send"}),
        ([], set()),
        ("", set()),
        (None, set()),
    ],
)
async def test_scopes_that_do_not_exist_are_left_out(scopes: Any, granted: set[str]) -> None:
    issuer = Issuer()
    assert (await issuer.tokens.key(issuer.token(scopes=scopes))).scopes == granted


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW},
        {"exp": NOW - 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 1e308 * 10},
        {"exp": -(10**400)},
        {"nbf": NOW + 60},
        {"nbf": "x"},
        {"nbf": float("nan")},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": "acme"},
        {"tenant": 1},
        {"tenant": [TENANT]},
        {"tenant": f"{TENANT}\0"},
        {"tenant": f"{TENANT}\n"},
        {"tenant": "tnt_01KQ7B2XWJ5T0E8M3N6R9VA4CF"},
        {"tenant": "key_01KQ7B2XWJ5T0E8M3N6R9VA4CD"},
        {"scopes": 1},
        {"scopes": [1]},
        {"scopes": {"mail.send": True}},
        {"sub": 7},
        {"aud": "elsewhere"},
        {"aud": ["postray"]},
    ],
    ids=str,
)
async def test_claims_that_are_refused(claims: dict[str, Any]) -> None:
    issuer = Issuer()
    await refused(issuer.tokens, issuer.token(**claims))


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"7", b'"x"', b"{", b"\xff", b"[" * 5000, b'{"exp":1e999}'])
async def test_payloads_that_are_no_claims_are_refused(payload: bytes) -> None:
    assert await refused(Issuer().tokens, by_hand({"alg": "HS256"}, payload))


async def test_an_expired_token_is_refused_at_its_moment_also_when_it_is_cached() -> None:
    issuer = Issuer()
    token = issuer.token(exp=NOW + 10)
    assert await issuer.tokens.key(token) is await issuer.tokens.key(token)
    issuer.now += 9.9
    await issuer.tokens.key(token)
    issuer.now += 0.1
    assert "expired" in await refused(issuer.tokens, token)


async def test_the_tenant_of_a_cached_token_is_looked_at_each_time() -> None:
    issuer = Issuer()
    token = issuer.token()
    await issuer.tokens.key(token)
    del issuer.tenants[TENANT]
    assert "does not exist" in await refused(issuer.tokens, token)
    # A suspended tenant may read; POST /v3/mail/send refuses it.
    assert (await issuer.tokens.key(issuer.token(tenant=SUSPENDED))).tenant_id == SUSPENDED


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"iss": "https://issuer.example/", "aud": "postray"}, True),
        ({"iss": "https://issuer.example/", "aud": ["other", "postray"]}, True),
        ({"iss": "https://issuer.example", "aud": "postray"}, False),
        ({"iss": None, "aud": "postray"}, False),
        ({"iss": ["https://issuer.example/"], "aud": "postray"}, False),
        ({"iss": "https://issuer.example/", "aud": "other"}, False),
        ({"iss": "https://issuer.example/", "aud": []}, False),
        ({"iss": "https://issuer.example/", "aud": None}, False),
        ({"iss": "https://issuer.example/", "aud": "postray2"}, False),
    ],
    ids=str,
)
async def test_issuer_and_audience_that_are_set_must_be_named(claims: dict[str, Any], accepted: bool) -> None:
    issuer = Issuer(jwt_issuer="https://issuer.example/", jwt_audience="postray")
    if accepted:
        await issuer.tokens.key(issuer.token(**claims))
    else:
        assert "auth.jwt_" in await refused(issuer.tokens, issuer.token(**claims)) or isinstance(claims["iss"], list)


async def test_no_signature_and_a_wrong_one_are_refused() -> None:
    issuer = Issuer()
    claims = json.dumps({"exp": NOW + 60, "tenant": TENANT, "scopes": ["mail.send"]}).encode()
    for alg in ("none", "None", "NONE", "", None, 7, ["HS256"], "HS384", "HS512", "RS512", "PS256", "ES256K"):
        assert await refused(issuer.tokens, by_hand({"alg": alg}, claims))
        head, payload, _ = by_hand({"alg": alg}, claims).split(".")
        assert await refused(issuer.tokens, f"{head}.{payload}.")
    assert await refused(issuer.tokens, by_hand({"alg": "HS256"}, claims, b"another secret of thirty-two bytes"))
    assert await refused(issuer.tokens, by_hand({"alg": "HS256", "crit": ["b64"], "b64": False}, claims))
    assert await refused(issuer.tokens, by_hand({"alg": "HS256", "crit": ["exp"]}, claims))
    assert await refused(issuer.tokens, by_hand({"typ": "JWT"}, claims))
    assert await refused(issuer.tokens, by_hand([], claims))
    head, payload, signature = issuer.token().split(".")
    stronger = b64(json.dumps({"exp": NOW + 60, "tenant": TENANT, "scopes": ["admin.api_keys"]}).encode())
    assert await refused(issuer.tokens, f"{head}.{stronger}.{signature}")
    assert (await issuer.tokens.key(by_hand({"alg": "HS256"}, claims))).scopes == {"mail.send"}


@pytest.mark.parametrize(
    "token", ["..", "a.b.c", "a..", "\xe9.\xe9.\xe9", "é.é.é", ".".join(["A" * 4000] * 3), "🎈.a.b"]
)
async def test_what_is_no_token_is_refused(token: str) -> None:
    assert await refused(Issuer().tokens, token)
    assert len(".".join(["A" * 4000] * 3)) > LONGEST_TOKEN


@pytest.mark.parametrize(("algorithm", "kid"), [("RS256", "r"), ("ES256", "e"), ("EdDSA", "d")])
async def test_a_public_key_is_no_shared_secret(algorithm: str, kid: str) -> None:
    public = private_key(algorithm, kid).public_key()
    issuer = Issuer(jwt_secret="")
    claims = json.dumps({"exp": NOW + 60, "tenant": TENANT}).encode()
    for encoding, form in (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        secret = public.public_bytes(encoding, form)
        for tokens in (issuer.tokens, Issuer().tokens):
            assert await refused(tokens, by_hand({"alg": "HS256", "kid": kid}, claims, secret))
    secret = json.dumps(public_jwk(algorithm, kid)).encode()
    assert await refused(issuer.tokens, by_hand({"alg": "HS256", "kid": kid}, claims, secret))


async def test_an_algorithm_is_bound_to_the_kind_of_its_key() -> None:
    issuer = Issuer()
    issuer.document["keys"].append({"kty": "oct", "k": b64(SECRET.encode() * 2), "kid": "shared"})
    claims = json.dumps({"exp": NOW + 60, "tenant": TENANT}).encode()
    assert await refused(issuer.tokens, by_hand({"alg": "HS256", "kid": "shared"}, claims, SECRET.encode() * 2))
    assert "kid" in await refused(issuer.tokens, issuer.token("ES256", private_key("ES256", "e"), "r"))
    assert "algorithm" in await refused(Issuer(jwks_url="").tokens, issuer.token("RS256", kid="r"))
    assert "algorithm" in await refused(Issuer(jwt_secret="").tokens, issuer.token())


async def test_short_rsa_keys_are_refused() -> None:
    issuer = Issuer()
    issuer.document = {"keys": [public_jwk("RS256", "short")]}
    with pytest.warns(UserWarning, match="1024"):
        token = issuer.token("RS256", kid="short")
    assert await refused(issuer.tokens, token)
