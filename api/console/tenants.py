"""Which tenant a page is about: the one that is named, or the only one."""

from collections.abc import Sequence

from msgspec import Struct

from api.admin.naming import NameFinder
from cluster.journal.known_names import KnownNames

SUGGESTED = 100


class Chosen(Struct, frozen=True, kw_only=True):
    """A tenant, and the names that a field suggests."""

    id: str
    """"" while there are several and none is named."""
    name: str
    suggested: Sequence[str]


class Tenants:
    """Finds tenants by what operators type."""

    def __init__(self, known: KnownNames, names: NameFinder) -> None:
        self._known = known
        self._names = names

    async def chosen(self, text: str) -> Chosen:
        """The tenant of this name or id, or of the only one that begins so; of "", the only one that there is. Raises
        Invalid, Unavailable."""
        some = await self._known.tenants_like("", SUGGESTED)
        names = dict(some)
        id = await self._names.tenant(text) if text else some[0][0] if len(some) == 1 else ""
        return Chosen(id=id, name=names.get(id, id), suggested=sorted(name for _, name in some))
