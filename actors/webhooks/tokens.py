"""The access tokens of endpoints that want one with each post: asked for, and kept until they end."""

from collections.abc import Callable

from actors.webhooks.client import Client
from cluster.lookup.ttl_cache import TtlCache
from cluster.shared_calls import SharedCalls
from cluster.vault import Vault
from cluster.webhooks.endpoints import Endpoint
from cluster.webhooks.oauth import FORM, LONGEST_TOKEN, Credentials, NoToken, Token, opened, token_of

MOST_KEPT = 1000
MOST_ANSWER_BYTES = LONGEST_TOKEN + 2048


class AccessTokens:
    """``clock`` is monotonic, in seconds."""

    def __init__(self, client: Client, vault: Vault, clock: Callable[[], float]) -> None:
        self._client = client
        self._vault = vault
        self._kept: TtlCache[bytes, str] = TtlCache(MOST_KEPT, clock)
        """By the sealed credentials."""
        self._asking: SharedCalls[bytes, Token] = SharedCalls()

    async def authorization(self, endpoint: Endpoint) -> dict[str, str]:
        """The header field for a post to an endpoint; none where it wants none. Raises NoToken, WrongKey."""
        sealed = endpoint.sealed_oauth
        if sealed is None:
            return {}
        text = self._kept.get(sealed)
        if text is None:
            # Posts that run at the same time ask once.
            token = await self._asking.get(sealed, self._ask)
            text = token.text
            if token.use_s > 0:
                self._kept.put(sealed, text, token.use_s)
        return {"Authorization": f"Bearer {text}"}

    def refused(self, endpoint: Endpoint) -> None:
        """The endpoint answered 401: the next post has a new token."""
        if endpoint.sealed_oauth is not None:
            self._kept.forget(endpoint.sealed_oauth)

    async def close(self) -> None:
        await self._asking.close()

    async def _ask(self, sealed: bytes) -> Token:
        credentials: Credentials = opened(sealed, self._vault)
        # A server that hangs holds up the tokens of no others: none of its connections is shared.
        answer = await self._client.post_once(
            credentials.token_url,
            {
                "Authorization": credentials.authorization,
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            FORM,
            most_bytes=MOST_ANSWER_BYTES,
        )
        if not answer.result.is_taken:
            raise NoToken(answer.result.error)
        return token_of(answer.body)
