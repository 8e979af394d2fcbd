"""An issuer of JWTs with keys of its own, and a directory of tenants."""

import asyncio
import json
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from cluster.access.key_set import KeySet
from cluster.access.tokens import SignedTokens
from cluster.settings import AuthSettings
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.tenant import Tenant

SECRET = "0123456789abcdef0123456789abcdef"
TENANT = "tnt_01KQ7B2XWJ5T0E8M3N6R9VA4CD"
SUSPENDED = "tnt_01KQ7B2XWJ5T0E8M3N6R9VA4CE"
NOW = 1_800_000_000.0


@cache
def private_key(algorithm: str, name: str) -> Any:
    """A private key; the same for the same name."""
    if algorithm == "RS256":
        return generate_rsa_key(65537, 1024 if name == "short" else 2048)
    return generate_private_key(SECP256R1()) if algorithm == "ES256" else Ed25519PrivateKey.generate()


def public_jwk(algorithm: str, name: str, **fields: Any) -> dict[str, Any]:
    kinds: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    public = private_key(algorithm, name).public_key()
    return {**kinds[algorithm].to_jwk(public, as_dict=True), "kid": name, "use": "sig", **fields}


class Issuer:
    """Publishes keys, issues tokens, and counts what is fetched."""

    def __init__(self, **settings: str) -> None:
        self.now = NOW
        self.document: Any = {"keys": [public_jwk("RS256", "r"), public_jwk("ES256", "e"), public_jwk("EdDSA", "d")]}
        self.fetches = 0
        self.broken: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.tenants = {
            TENANT: Tenant(id=TENANT, name="acme"),
            SUSPENDED: Tenant(id=SUSPENDED, name="late", is_suspended=True),
        }
        self.keys = KeySet(self._fetch, lambda: self.now)
        directory = cast(TenantDirectory, SimpleNamespace(tenant=self._tenant))
        auth = AuthSettings(**{"jwt_secret": SECRET, "jwks_url": "https://issuer.example/keys", **settings})
        self.tokens = SignedTokens(auth, directory, self.keys if auth.jwks_url else None, lambda: self.now)

    def token(self, algorithm: str = "HS256", key: Any = None, kid: str | None = None, **claims: Any) -> str:
        """A token that is valid unless ``claims`` say otherwise; a claim that is None is left out."""
        if key is None:
            key = SECRET if algorithm == "HS256" else private_key(algorithm, kid or "r")
        body = {"exp": NOW + 600, "tenant": TENANT, "scopes": ["mail.send"], "sub": "ada", **claims}
        payload = {name: value for name, value in body.items() if value is not None}
        return jwt.PyJWS().encode(json.dumps(payload).encode(), key, algorithm, {"kid": kid} if kid else None)

    async def _fetch(self) -> bytes:
        self.fetches += 1
        await self.gate.wait()
        if self.broken is not None:
            raise self.broken
        return self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()

    async def _tenant(self, id: str) -> Tenant | None:
        return self.tenants.get(id)
