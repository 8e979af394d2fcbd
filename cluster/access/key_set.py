"""The public keys of a token issuer (JWKS): fetched in the background, rotated, and kept while the issuer is away.

A key that is not known causes one fetch, at most every ``UNKNOWN_S``; a token's first request after a rotation waits
for it, briefly. RFC 7517.
"""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

from jwt import PyJWK, PyJWKSet, PyJWTError

from cluster.intake.backpressure import Overloaded
from cluster.lookup.bounded_get import get
from cluster.lookup.web_address import WebAddress

log = logging.getLogger(__name__)

REFRESH_S = 300.0
"""How often the keys are fetched when no unknown one is asked for."""
UNKNOWN_S = 30.0
"""The shortest time between two fetches."""
WAIT_S = 3.0
"""How long a request waits for a fetch."""
KEPT_S = 86_400.0
"""How long the keys are used while they cannot be fetched."""
FETCH_S = 10.0
"""How long a fetch may take."""
MOST_BYTES = 256 * 1024
MOST_KEYS = 100

NOT_FETCHED = "The keys of auth.jwks_url have not been fetched yet; try again later"

VerifyingKey = PyJWK
Fetch = Callable[[], Awaitable[bytes]]
"""Returns the JWKS document. Raises OSError or ValueError with the reason."""


def fetching(address: WebAddress, ca_file: str) -> Fetch:
    """Fetches the document at an address. ``ca_file`` is tls.ca_file. Raises OSError, ssl.SSLError."""
    trusted = ssl.create_default_context() if not ca_file else ssl.create_default_context(cafile=ca_file)

    async def fetch() -> bytes:
        async with asyncio.timeout(FETCH_S):
            return await get(address, trusted, accept="application/json", most_bytes=MOST_BYTES)

    return fetch


class KeySet:
    """The keys of one issuer."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is monotonic, in seconds."""
        self._fetch = fetch
        self._clock = clock
        self._document: Any = None
        self._keys: tuple[PyJWK, ...] = ()
        self._fetched_at = self._tried_at = float("-inf")
        self._failed = False
        """Whether the last fetch failed."""
        self._fetching: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when a fetch finds other keys than before."""
        self._listeners.append(listener)

    async def find(self, algorithm: str, kid: str | None) -> VerifyingKey | None:
        """The key for a token; without a ``kid``, the only one for its algorithm. None when there is none. Raises
        Overloaded while no keys are known."""
        found = self._known(algorithm, kid)
        if found is None:
            fetching = self._fetching or (self._start() if self._clock() - self._tried_at >= UNKNOWN_S else None)
            if fetching is not None:
                await asyncio.wait({fetching}, timeout=WAIT_S)
                found = self._known(algorithm, kid)
        if found is None and not self._keys:
            raise Overloaded(NOT_FETCHED)
        return found

    async def run(self) -> None:
        """Fetch the keys from time to time until cancelled."""
        while True:
            await asyncio.wait({self._fetching or self._start()})
            await asyncio.sleep(UNKNOWN_S if self._failed else REFRESH_S)

    def _start(self) -> asyncio.Task[None]:
        self._tried_at = self._clock()
        self._fetching = asyncio.create_task(self._refresh(), name="token keys")
        return self._fetching

    async def _refresh(self) -> None:
        try:
            self._replace(await self._fetch())
            self._fetched_at, self._failed = self._clock(), False
        except (OSError, ValueError, PyJWTError) as error:
            self._failed = True
            log.warning("token keys not fetched reason=%r", str(error))
            if self._keys and self._clock() - self._fetched_at > KEPT_S:
                log.error("token keys are too old and not used any more")
                self._change(None, ())
        finally:
            self._fetching = None

    def _replace(self, data: bytes) -> None:
        """Raises ValueError, PyJWTError; then the keys stay as they were."""
        try:
            document = json.loads(data)
        except RecursionError:
            raise ValueError("the document is nested too deeply") from None
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list) or not 0 < len(listed) <= MOST_KEYS:
            raise ValueError(f'it is not {{"keys": […]}} with 1 to {MOST_KEYS} keys')
        if listed != self._document:
            self._change(listed, tuple(PyJWKSet(listed).keys))

    def _change(self, document: Any, keys: tuple[PyJWK, ...]) -> None:
        self._document, self._keys = document, keys
        log.info("token keys changed keys=%d", len(keys))
        for listener in self._listeners:
            listener()

    def _known(self, algorithm: str, kid: str | None) -> PyJWK | None:
        fitting = [
            key
            for key in self._keys
            if key.algorithm_name == algorithm
            and key.public_key_use in (None, "sig")
            and (kid is None or key.key_id == kid)
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None
