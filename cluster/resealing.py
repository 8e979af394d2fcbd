"""Seals everything in the journal anew with the current secret, and checks that a secret opens what is sealed.
``postray up`` does it before any actor runs.

Page by page, each page in one statement that changes only what is as it was read. A crash between two pages leaves some
values sealed with a former secret; the next start goes on.
"""

from collections.abc import Sequence

from msgspec import Struct

from cluster.journal.journal import Journal
from cluster.journal.sealed import SEALED, SealedColumn
from cluster.vault import Vault, WrongKey

PAGE = 500
LOOKED_AT = 10
"""Values that are opened to know whether a secret is the right one."""


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


async def check_opens(journal: Journal, vault: Vault) -> None:
    """Raises WrongKey when the secret does not open what is sealed, since no mail could be signed."""
    check_secret(vault, [value.content for value in await journal.sealed.used(LOOKED_AT)])


def check_secret(vault: Vault, sealed: Sequence[bytes]) -> None:
    """Raises WrongKey when the secret opens none of these values. A single one that is damaged keeps only its own
    domain from sending."""
    for number, value in enumerate(sealed, 1):
        try:
            vault.open(value)
            return
        except WrongKey:
            if number == len(sealed):
                raise


async def _replace(journal: Journal, column: SealedColumn, anew: list[tuple[int, bytes, bytes]]) -> int:
    return await journal.sealed.replace(column, anew) if anew else 0
