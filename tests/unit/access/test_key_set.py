"""The issuer's keys: fetched when needed and no more often, rotated, and kept while the issuer is away."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.access import key_set
from cluster.access.claims import BadToken
from cluster.access.key_set import KEPT_S, UNKNOWN_S
from cluster.intake.backpressure import Overloaded
from tests.unit.access.issuer import NOW, Issuer, private_key, public_jwk


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_rotation_is_found_by_the_first_token_with_a_new_key() -> None:
    issuer = Issuer()
    old = issuer.token("RS256", kid="r")
    await issuer.tokens.key(old)
    issuer.document = {"keys": [public_jwk("RS256", "new")]}
    issuer.now += UNKNOWN_S
    new = issuer.token("RS256", kid="new")
    assert (await issuer.tokens.key(new)).id == "jwt:ada"
    assert issuer.fetches == 2
    with pytest.raises(BadToken):  # also though it was cached: its key was withdrawn
        await issuer.tokens.key(old)


async def test_unknown_keys_cause_one_fetch_in_a_while() -> None:
    issuer = Issuer()
    await issuer.tokens.key(issuer.token("RS256", kid="r"))
    issuer.now += UNKNOWN_S - 0.1
    tokens = [issuer.token("RS256", private_key("RS256", "r"), f"unknown{number}") for number in range(5)]
    for token in tokens:
        with pytest.raises(BadToken, match="kid"):
            await issuer.tokens.key(token)
    assert issuer.fetches == 1
    issuer.now += 0.1
    found = await asyncio.gather(*map(issuer.tokens.key, tokens), return_exceptions=True)
    assert [type(one) for one in found] == [BadToken] * 5
    assert issuer.fetches == 2


async def test_a_request_does_not_wait_long_for_a_slow_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_set, "WAIT_S", 0.01)
    issuer = Issuer()
    issuer.gate.clear()
    token = issuer.token("RS256", kid="r")
    with pytest.raises(Overloaded):
        await issuer.tokens.key(token)
    issuer.gate.set()
    await settled()
    assert (await issuer.tokens.key(token)).id == "jwt:ada"
    assert issuer.fetches == 1


async def test_keys_are_kept_for_a_day_while_the_issuer_is_away() -> None:
    issuer = Issuer()
    token = issuer.token("RS256", kid="r", exp=issuer.now + 3 * KEPT_S)
    await issuer.tokens.key(token)
    issuer.broken = OSError("away")
    stranger = issuer.token("RS256", private_key("RS256", "r"), "unknown")
    issuer.now += KEPT_S
    with pytest.raises(BadToken):
        await issuer.tokens.key(stranger)
    await issuer.tokens.key(token)
    issuer.now += UNKNOWN_S
    with pytest.raises(Overloaded):
        await issuer.tokens.key(stranger)
    with pytest.raises(Overloaded):
        await issuer.tokens.key(token)
    issuer.broken = None
    issuer.now += UNKNOWN_S
    await issuer.tokens.key(token)


def hostile() -> Iterator[bytes]:
    """Documents that hold no usable key named "r"."""
    yield from (b"", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"keys": 7}', b'{"keys": {}}', b'{"keys": []}')
    yield from (b'{"keys": [7, null, [], "x"]}', b'{"keys": [{}]}')
    yield json.dumps({"keys": [public_jwk("RS256", "r")] * 101}).encode()
    odd: list[Any] = [None, 7, "", "!", "AA", [], {"a": 1}, "A" * 9000]
    for algorithm, name in (("RS256", "n"), ("RS256", "e"), ("ES256", "x"), ("EdDSA", "x"), ("RS256", "kty")):
        for value in odd:
            yield json.dumps({"keys": [{**public_jwk(algorithm, algorithm), name: value}]}).encode()
    for name in ("alg", "crv", "use", "kid"):
        for value in ([], {}, 7, "x"):
            yield json.dumps({"keys": [{**public_jwk("RS256", "other"), name: value}]}).encode()


async def test_a_document_that_is_no_key_set_changes_nothing() -> None:
    issuer = Issuer()
    unexpected: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unexpected.append(context))
    good = issuer.token("RS256", kid="r")
    for document in hostile():
        issuer.document = document
        issuer.now += UNKNOWN_S
        fetches = issuer.fetches
        with pytest.raises((Overloaded, BadToken)):
            await issuer.tokens.key(good)
        assert issuer.fetches == fetches + 1, document[:100]
        assert not unexpected, document[:100]
    issuer.document = {"keys": [public_jwk("RS256", "r")]}
    issuer.now = NOW + UNKNOWN_S * 100
    await issuer.tokens.key(issuer.token("RS256", kid="r", exp=issuer.now + 1))


async def test_without_a_kid_the_only_key_of_the_algorithm_is_meant() -> None:
    issuer = Issuer()
    await issuer.tokens.key(issuer.token("RS256", private_key("RS256", "r")))
    issuer.document = {"keys": [public_jwk("RS256", "r"), public_jwk("RS256", "new")]}
    issuer.now += UNKNOWN_S
    with pytest.raises(BadToken):
        await issuer.tokens.key(issuer.token("RS256", kid="none of them"))
    with pytest.raises(BadToken):
        await issuer.tokens.key(issuer.token("RS256", private_key("RS256", "r"), sub="another"))


async def test_keys_for_encryption_verify_nothing() -> None:
    issuer = Issuer()
    issuer.document = {"keys": [public_jwk("RS256", "r", use="enc"), public_jwk("ES256", "e")]}
    with pytest.raises(BadToken):
        await issuer.tokens.key(issuer.token("RS256", kid="r"))


async def test_keys_are_fetched_in_the_background_also_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_set, "REFRESH_S", 0.0)
    monkeypatch.setattr(key_set, "UNKNOWN_S", 0.0)
    issuer = Issuer()
    running = asyncio.create_task(issuer.tokens.run())
    for broken in (OSError("away"), None, ValueError("no JSON"), None):
        issuer.broken = broken
        fetches = issuer.fetches
        while issuer.fetches < fetches + 2:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    await issuer.tokens.key(issuer.token("RS256", kid="r"))
