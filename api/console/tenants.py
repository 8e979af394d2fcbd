"""Which tenant a page is about: the one that is named, or the only one."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from api.admin.naming import NameFinder
from cluster.journal.known_names import KnownNames
from cluster.tenancy.tenant import Tenant

SUGGESTED = 100

FindTenant = Callable[[str], Awaitable[Tenant | None]]


class Chosen(Struct, frozen=True, kw_only=True):
    """A tenant, and the names that a field suggests."""

    id: str
    """"" while there are several and none is named."""
    name: str
    suggested: Sequence[str]


class Tenants:
    """Finds tenants by what operators type."""

    def __init__(self, known: KnownNames, names: NameFinder, find: FindTenant) -> None:
        self._known = known
        self._names = names
        self._find = find

    async def chosen(self, text: str) -> Chosen:
        """The tenant of this name or id, or of the only one that begins so; of "", the only one that there is. Raises
        Invalid, Unavailable."""
        some = await self._known.tenants_like("", SUGGESTED)
        names = dict(some)
        id = await self._names.tenant(text) if text else some[0][0] if len(some) == 1 else ""
        return Chosen(id=id, name=names.get(id, id), suggested=sorted(name for _, name in some))

    async def name_of(self, id: str) -> str:
        """The name of the tenant with this id; the id of one that is deleted."""
        found = await self._find(id)
        return id if found is None else found.name
