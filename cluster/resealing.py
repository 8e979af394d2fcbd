"""Seals everything in the journal anew with the current secret. ``postray up`` does it before any actor runs.

Page by page, each page in one statement that changes only what is as it was read. A crash between two pages leaves some
values sealed with a former secret; the next start goes on.
"""

from msgspec import Struct

from cluster.journal.journal import Journal
from cluster.journal.sealed import SEALED, SealedColumn
from cluster.vault import Vault, WrongKey

PAGE = 500


class Resealed(Struct, frozen=True):
    """The result."""

    changed: int
    unopened: list[str]
    """Descriptions of values that no known secret opens. They were useless before, and are left as they are."""


async def seal_anew(journal: Journal, vault: Vault, page_size: int = PAGE) -> Resealed:
    """Seal every value anew that is sealed with a former key of ``vault``. Raises Unavailable."""
    changed, unopened = 0, []
    for column in SEALED:
        before: int | None = None
        while page := await journal.sealed.newest(column, page_size, before):
            before = page[-1].id
            anew: list[tuple[int, bytes, bytes]] = []
            for value in page:
                if vault.is_current(value.content):
                    continue
                try:
                    anew.append((value.id, value.content, vault.seal(vault.open(value.content))))
                except WrongKey:
                    unopened.append(value.what)
            changed += await _replace(journal, column, anew)
    return Resealed(changed, unopened)


async def _replace(journal: Journal, column: SealedColumn, anew: list[tuple[int, bytes, bytes]]) -> int:
    return await journal.sealed.replace(column, anew) if anew else 0
