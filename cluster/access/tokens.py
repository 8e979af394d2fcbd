"""Verifies JWTs: HS256 with the shared secret, RS256, ES256 and EdDSA with the issuer's public keys.

The algorithm decides which key is used, so that a public key never serves as a shared secret. A verified token is
cached until it expires: a busy client pays for one signature, not for one a request. RFC 7515, RFC 7519, RFC 8725.
"""

import hashlib
import time
from collections.abc import Callable

from jwt import PyJWS, PyJWTError
from jwt.types import SigOptions

from cluster.access.claims import BadToken, Grant, TokenRules, granted
from cluster.access.key_set import KeySet, VerifyingKey
from cluster.journal.records import ApiKey
from cluster.lookup.ttl_cache import TtlCache
from cluster.settings import AuthSettings
from cluster.tenancy.directory import TenantDirectory

SHARED = "HS256"
PUBLIC = ("RS256", "ES256", "EdDSA")
TOKENS_KEPT = 10_000
LONGEST_TOKEN = 8192
"""Characters; a longer token is refused unread."""

_STRICT: SigOptions = {"verify_signature": True, "enforce_minimum_key_length": True}


class SignedTokens:
    """Turns JWTs into keys. Safe to call concurrently."""

    def __init__(
        self,
        settings: AuthSettings,
        directory: TenantDirectory,
        keys: KeySet | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``keys`` are those of auth.jwks_url. ``clock`` is Unix time, in seconds."""
        self._secret = settings.jwt_secret.encode()
        self._rules = TokenRules(issuer=settings.jwt_issuer, audience=settings.jwt_audience)
        self._directory = directory
        self._keys = keys
        self._clock = clock
        self._verified: TtlCache[bytes, ApiKey] = TtlCache(TOKENS_KEPT, clock)
        algorithms = [*([SHARED] if self._secret else ()), *(PUBLIC if keys is not None else ())]
        self._signatures = PyJWS(algorithms, _STRICT)
        if keys is not None:
            keys.on_change(self._verified.clear)  # a key that its issuer has withdrawn verifies nothing any more

    async def key(self, token: str) -> ApiKey:
        """What the token grants, as a key. Raises BadToken, Overloaded, Unavailable."""
        hash = hashlib.sha256(token.encode()).digest()
        key = self._verified.get(hash)
        if key is None:
            grant = await self._verify(token)
            name = f"jwt:{grant.subject}"
            key = ApiKey(id=name, tenant_id=grant.tenant_id, scopes=grant.scopes, sandbox=False)
            self._verified.put(hash, key, grant.expires_at - self._clock())
        tenant = await self._directory.tenant(key.tenant_id)
        if tenant is None:
            raise BadToken("The tenant of the JWT does not exist")
        return key

    async def run(self) -> None:
        """Keep the issuer's keys fresh until cancelled."""
        if self._keys is not None:
            await self._keys.run()

    async def _verify(self, token: str) -> Grant:
        if len(token) > LONGEST_TOKEN:
            raise BadToken(f"The JWT has more than {LONGEST_TOKEN} characters")
        try:
            head = self._signatures.get_unverified_header(token)
            key = await self._key_for(head.get("alg"), head.get("kid"))
            payload: bytes = self._signatures.decode_complete(token, key, [head["alg"]])["payload"]
        except (PyJWTError, ValueError, TypeError) as error:
            raise BadToken(f"The signature of the JWT is not valid: {error}") from None
        return granted(payload, self._rules, self._clock())

    async def _key_for(self, algorithm: object, kid: str | None) -> VerifyingKey | bytes:
        """The key for a token's header. Raises BadToken, Overloaded."""
        if algorithm == SHARED and self._secret:
            return self._secret
        if algorithm in PUBLIC and self._keys is not None:
            key = await self._keys.find(str(algorithm), kid)
            if key is None:
                raise BadToken("The key of the JWT (kid) is not one of those at auth.jwks_url")
            return key
        raise BadToken("The algorithm of the JWT is not accepted")
