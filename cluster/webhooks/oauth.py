"""Access tokens for posts: what they are asked for with, and what the authorization server answers (RFC 6749 §4.4, the
client credentials grant). Pure.
"""

from base64 import b64encode
from urllib.parse import quote_plus

import msgspec
from msgspec import Struct

from cluster.vault import Vault

LONGEST_TOKEN = 8192
"""Characters."""
USUAL_S = 300.0
"""How long a token is used whose life the server does not tell."""
LONGEST_S = 86_400.0
EARLY_S = 30.0
"""A token is not used any more so long before its end."""
FORM = b"grant_type=client_credentials"


class Credentials(Struct, frozen=True, kw_only=True):
    """What an endpoint's owner gave."""

    client_id: str
    client_secret: str
    token_url: str

    def sealed(self, vault: Vault) -> bytes:
        """As the journal keeps them."""
        return vault.seal(msgspec.json.encode(self))

    @property
    def authorization(self) -> str:
        """The Authorization field of the request (RFC 6749 §2.3.1: both are form-encoded first)."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        return f"Basic {b64encode(pair.encode()).decode()}"


class Token(Struct, frozen=True):
    """An access token, and how long it is used."""

    text: str
    use_s: float


class NoToken(Exception):
    """The authorization server gave no token; the message says why."""


class _Answer(Struct):
    access_token: str
    token_type: str
    expires_in: float | None = None


def opened(sealed: bytes, vault: Vault) -> Credentials:
    """Raises cluster.vault.WrongKey."""
    return msgspec.json.decode(vault.open(sealed), type=Credentials)


def token_of(body: str) -> Token:
    """The token of a successful answer. Raises NoToken."""
    try:
        answer = msgspec.json.decode(body, type=_Answer, strict=False)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoToken(f"the answer has no token: {error}") from None
    text = answer.access_token
    if answer.token_type.lower() != "bearer":
        raise NoToken("the token's type is not Bearer")
    # RFC 6750 §2.1; also, nothing else may stand in a header field.
    if not text or len(text) > LONGEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise NoToken("the token cannot be used in a header field")
    life_s = USUAL_S if answer.expires_in is None else answer.expires_in
    return Token(text, min(max(life_s - EARLY_S, 0.0), LONGEST_S))
