"""What a verified JWT grants. Pure: the time is an argument.

Claims: ``exp`` and ``tenant`` are required; ``scopes`` is a list, or words in one text; ``sub``, ``nbf``, ``iss`` and
``aud`` are optional unless the settings name an issuer or an audience. RFC 7519 §4.1.
"""

import math

import msgspec
from msgspec import Struct

from cluster.access.scopes import SCOPES
from cluster.ids import is_id

NOT_BEFORE_GRACE_S = 5.0
"""How far the issuer's clock may be ahead of ours."""
LONGEST_SUBJECT = 200


class BadToken(Exception):
    """A token that is refused; ``reason`` says why, in words for its holder."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenRules(Struct, frozen=True):
    """What the claims of a token must say. "" as the issuer accepts any: the keys are the issuer's. "" as the audience
    accepts only tokens that name none (RFC 7519 §4.1.3): one that names another service is not for us."""

    issuer: str = ""
    audience: str = ""


class Grant(Struct, frozen=True):
    """What a token grants, and until when (Unix time, seconds)."""

    tenant_id: str
    scopes: frozenset[str]
    subject: str
    expires_at: float


class _Claims(Struct):
    exp: float
    tenant: str
    scopes: list[str] | str | None = None
    sub: str | None = None
    nbf: float | None = None
    iss: str | None = None
    aud: list[str] | str | None = None


_decoder = msgspec.json.Decoder(_Claims)


def granted(payload: bytes, rules: TokenRules, now: float) -> Grant:
    """What the claims of a token with a valid signature grant. Scopes that do not exist are left out. Raises
    BadToken."""
    try:
        claims = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadToken(f"The claims of the JWT cannot be read: {error}") from None
    if not now < claims.exp < math.inf:
        raise BadToken("The JWT has expired")
    if claims.nbf is not None and not claims.nbf <= now + NOT_BEFORE_GRACE_S:
        raise BadToken("The JWT is not valid yet")
    if rules.issuer and claims.iss != rules.issuer:
        raise BadToken("The JWT is from another issuer than auth.jwt_issuer")
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
    if rules.audience and rules.audience not in audiences:
        raise BadToken("The JWT is for another audience than auth.jwt_audience")
    if audiences and not rules.audience:
        raise BadToken("The JWT is for an audience, and auth.jwt_audience is not set")
    if not is_id("tnt_", claims.tenant):
        raise BadToken("The tenant of the JWT is no tenant's id")
    scopes = claims.scopes.split() if isinstance(claims.scopes, str) else claims.scopes or ()
    return Grant(
        tenant_id=claims.tenant,
        scopes=frozenset(SCOPES.keys() & set(scopes)),
        subject=(claims.sub or "")[:LONGEST_SUBJECT],
        expires_at=claims.exp,
    )
