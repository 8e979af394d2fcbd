"""The keys of tokens in this process: read from the journal, opened, and read again when a newer one is met.

An installation's first key is made when first one is needed. ``rotate`` adds one, which signs from then on; the others
stay, since mail of any age keeps its links.
"""

import secrets
from collections.abc import Mapping

from cluster.journal.journal import Journal
from cluster.tracking.tokens import KEY_BYTES, TokenKey, keys_by_id
from cluster.vault import Vault


class TokenKeys:
    """``load`` comes first. The newest key signs; all of them read."""

    def __init__(self, journal: Journal, vault: Vault) -> None:
        self._journal = journal
        self._vault = vault
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
            rows = await self._add(0)
        self._keys = tuple([TokenKey(id, self._vault.open(sealed)) for id, sealed in rows])
        self.by_id = keys_by_id(self._keys)

    async def rotate(self) -> int:
        """Add a key that signs from now on, here and in processes that load again; returns its id."""
        await self.load()
        await self._add(len(self._keys))
        await self.load()
        return self.newest.id

    async def _add(self, known: int) -> list[tuple[int, bytes]]:
        await self._journal.token_keys.add(known, self._vault.seal(secrets.token_bytes(KEY_BYTES)))
        return await self._journal.token_keys.all()
