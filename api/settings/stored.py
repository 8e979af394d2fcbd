"""The settings of the tenant that a request comes from, as the journal has them."""

from collections.abc import Callable

from api.http import help_texts
from api.http.body import ApiRequest
from api.http.refusals import NotFound
from cluster.journal.journal import Journal
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.settings import TenantSettings

GONE = "The tenant does not exist"


class StoredSettings:
    """Reads from the journal, not from the cache, so that a client reads what it has just written at any process."""

    def __init__(self, journal: Journal, directory: TenantDirectory) -> None:
        self._journal = journal
        self._directory = directory

    async def of(self, request: ApiRequest) -> TenantSettings:
        """Raises NotFound for a tenant that is being deleted, and Unavailable."""
        tenant = await self._journal.tenants.find(request.auth.tenant_id)
        if tenant is None:
            raise NotFound(GONE, help=help_texts.KEY)
        return tenant.settings

    async def change(self, request: ApiRequest, change: Callable[[TenantSettings], TenantSettings]) -> TenantSettings:
        """Store what ``change`` returns for the settings. Raises what it raises, NotFound and Unavailable."""
        tenant_id = request.auth.tenant_id
        settings = await self._journal.tenants.change_settings(tenant_id, change)
        if settings is None:
            raise NotFound(GONE, help=help_texts.KEY)
        self._directory.changed_here(tenant_id)
        return settings
