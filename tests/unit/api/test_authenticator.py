"""The terms of keys and JWTs at the door: when and from where a key is accepted, and what a refusal says."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.http import help_texts
from api.http.access import Access
from api.http.auth import Authenticator
from api.http.refusals import Forbidden, Unauthenticated
from cluster.access.terms import KeyTerms
from cluster.journal.records import ApiKey
from cluster.keys import new_key
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.limiter import TenantLimiter
from tests.unit.access.issuer import SUSPENDED, TENANT, Issuer

OF_V3 = Access()


class Door:
    """An authenticator with one key."""

    def __init__(self, terms: KeyTerms | None = None, proxies: tuple[str, ...] = (), issuer: Issuer | None = None):
        self.now = 1000.0
        self.used: list[str] = []
        kind = terms.kind if terms else "api"
        self.secret, _, hash = new_key(False, kind)
        key = ApiKey(id="key_1", tenant_id="tnt_1", scopes=frozenset(), sandbox=False, terms=terms)
        known = {hash: key}

        async def find(hash: bytes) -> ApiKey | None:
            return known.get(hash)

        self.authenticator = Authenticator(
            cast(TenantDirectory, SimpleNamespace(key=find)),
            cast(TenantLimiter, SimpleNamespace()),
            used=self.used.append,
            tokens=issuer.tokens if issuer else None,
            trusted_proxies=proxies,
            clock=lambda: self.now,
        )

    async def admit(
        self,
        authorization: str | None = None,
        peer: str | None = "192.0.2.1",
        *forwarded: str,
        access: Access = OF_V3,
    ) -> ApiKey:
        headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
        headers.append((b"authorization", (authorization or f"Bearer {self.secret}").encode("latin-1")))
        scope: Any = {"headers": headers, "client": (peer, 4711) if peer is not None else None}
        return await self.authenticator.authenticate(scope, access)


async def test_a_key_expires_at_its_moment() -> None:
    door = Door(KeyTerms(expires_at=1010.0))
    door.now = 1009.99
    await door.admit()
    door.now = 1010.0
    with pytest.raises(Unauthenticated, match="Invalid API key") as caught:
        await door.admit()
    assert caught.value.help == help_texts.EXPIRED_KEY
    assert door.used == ["key_1"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "admitted"),
    [
        ("198.51.100.7", (), True),
        ("::ffff:198.51.100.7", (), True),
        ("2001:db8::1", (), True),
        ("192.0.2.1", (), False),
        ("192.0.2.1", ("198.51.100.7",), False),
        ("10.0.0.1", ("198.51.100.7",), True),
        ("10.0.0.1", ("192.0.2.1, 198.51.100.7",), True),
        ("10.0.0.1", ("198.51.100.7, 192.0.2.1",), False),
        ("10.0.0.1", ("198.51.100.7, \x1b[31m",), False),
        ("10.0.0.1", ("198.51.100.7, " + "x" * 60_000,), False),
        ("10.0.0.1", (), False),
        (None, (), False),
        ("", (), False),
    ],
)
async def test_a_key_is_accepted_from_its_networks(
    peer: str | None, forwarded: tuple[str, ...], admitted: bool
) -> None:
    door = Door(KeyTerms(networks=("198.51.100.0/24", "2001:db8::/32")), ("10.0.0.0/8",))
    if admitted:
        assert (await door.admit(None, peer, *forwarded)).id == "key_1"
        return
    with pytest.raises(Forbidden, match="This key may not be used from") as caught:
        await door.admit(None, peer, *forwarded)
    assert len(caught.value.detail) < 200 and caught.value.detail.isprintable()
    assert caught.value.help == help_texts.NETWORKS


async def test_the_refusal_says_what_address_was_seen() -> None:
    door = Door(KeyTerms(networks=("198.51.100.0/24",)), ("10.0.0.0/8",))
    for peer, forwarded, seen in (
        ("192.0.2.1", ("198.51.100.7",), "192.0.2.1"),
        ("10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("unknown",), "unknown"),
        (None, (), "an unknown address"),
    ):
        with pytest.raises(Forbidden) as caught:
            await door.admit(None, peer, *forwarded)
        assert caught.value.detail == f"This key may not be used from {seen}"


async def test_a_key_for_the_other_api() -> None:
    door = Door(KeyTerms(kind="piisend"))
    with pytest.raises(Forbidden, match="for /api/v1 only"):
        await door.admit()
    assert (await door.admit(access=Access(kinds=("api", "piisend")))).id == "key_1"


async def test_each_401_says_what_to_do() -> None:
    door = Door()
    for authorization, help in (
        ("Basic x", help_texts.KEY),
        ("Bearer ", help_texts.KEY),
        ("Bearer sg_live_" + "0" * 32, help_texts.KEY),
        ("Bearer x", help_texts.KEY),
        ("Bearer a.b.c", help_texts.NO_TOKENS),
    ):
        with pytest.raises(Unauthenticated, match="Invalid API key") as caught:
            await door.admit(authorization)
        assert caught.value.help == help
    with pytest.raises(Unauthenticated, match="Missing Authorization header"):
        scope: Any = {"headers": [], "client": None}
        await door.authenticator.authenticate(scope, Access())


async def test_a_jwt_is_admitted_as_a_key() -> None:
    issuer = Issuer()
    door = Door(issuer=issuer)
    key = await door.admit(f"Bearer {issuer.token()}")
    assert (key.tenant_id, key.scopes) == (TENANT, frozenset({"mail.send"}))
    assert door.used == []
    with pytest.raises(Unauthenticated, match="Invalid API key") as caught:
        await door.admit(f"Bearer {issuer.token(exp=0)}")
    assert caught.value.help == "The JWT has expired"
    assert (await door.admit(f"Bearer {issuer.token(tenant=SUSPENDED)}")).tenant_id == SUSPENDED
