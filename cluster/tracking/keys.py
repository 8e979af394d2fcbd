"""The keys of tokens in this process: read from the journal, opened, and read again when a newer one is met.

An installation's first key is made when a process first needs one. ``rotate`` adds one, which signs from then on; the
others stay, since mail of any age keeps its links.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.time_limit import TimeLimit
from cluster.tracking.tokens import KEY_BYTES, Kind, Named, TokenKey, key_id, keys_by_id, read
from cluster.vault import Vault

log = logging.getLogger(__name__)

LAST_ID = 255
"""An id is one octet of a token."""
FRESH_S = 60.0
"""How soon a rotated key signs in every process."""
LOOK_EVERY_S = 1.0
"""How often tokens of unknown keys, which any client can make up, may cost a look into the journal."""


class NoMoreKeys(Exception):
    """There are ``LAST_ID`` keys, and none is ever deleted."""


class TokenKeys:
    """``load`` comes first. The newest key signs; all of them read."""

    def __init__(self, journal: Journal, vault: Vault, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._vault = vault
        self._clock = clock
        self._looking = asyncio.Lock()
        self._limit = TimeLimit()
        self._looked_at = float("-inf")
        self._failure: Unavailable | None = None
        """Of the last look for a newer key."""
        self._keys: tuple[TokenKey, ...] = ()
        self.by_id: Mapping[int, bytes] = {}
        """As ``tokens.read`` takes them."""

    @property
    def newest(self) -> TokenKey:
        """The key that signs. Raises IndexError before ``load``."""
        return self._keys[-1]

    async def load(self) -> None:
        """Read the keys; make the first one where there is none. Raises Unavailable and WrongKey."""
        rows = await self._journal.token_keys.all()
        if not rows:
            await self._add(0)
            rows = await self._journal.token_keys.all()
        self._keys = tuple([TokenKey(id, self._vault.open(sealed)) for id, sealed in rows])
        self.by_id = keys_by_id(self._keys)

    async def read(self, token: str, kind: Kind) -> Named | None:
        """As ``tokens.read``; where the token names a key that is not known here, another process may have made it.
        Raises Unavailable when that cannot be found out now."""
        named = read(token, kind, self.by_id)
        if named is None and (id := key_id(token)) and id not in self.by_id:
            await self._look()
            named = read(token, kind, self.by_id)
        return named

    async def run(self) -> None:
        """Keep what signs fresh, until it is cancelled."""
        while True:
            await asyncio.sleep(FRESH_S)
            try:
                await self.load()
            except Unavailable as error:
                log.warning("token keys not read again reason=%r", error.reason)

    async def _look(self) -> None:
        async with self._looking:
            if self._clock() < self._looked_at + LOOK_EVERY_S:
                if self._failure is not None:
                    raise self._failure
                return
            self._failure = None
            try:
                await self._limit.result(self.load())
            except Unavailable as error:
                self._failure = error
                raise
            finally:
                self._looked_at = self._clock()

    async def rotate(self) -> int:
        """Add a key that signs from now on, here and in processes that load again; returns its id. Raises NoMoreKeys,
        Unavailable, WrongKey."""
        await self.load()
        if self.newest.id >= LAST_ID:
            raise NoMoreKeys
        await self._add(len(self._keys))
        await self.load()
        return self.newest.id

    async def _add(self, known: int) -> None:
        await self._journal.token_keys.add(known, self._vault.seal(secrets.token_bytes(KEY_BYTES)))
