"""/v3/user/settings/enforced_tls: whether a tenant's mail goes over TLS only, and how good that must be."""

import msgspec
from litestar import get, patch
from litestar.params import JSONBody
from msgspec import Struct, structs

from api.http.body import ApiRequest, TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.settings.stored import StoredSettings
from cluster.tenancy.settings import TenantSettings

VERSIONS = (1.0, 1.1, 1.2, 1.3)
LOWEST_VERSION = 1.2
"""RFC 8996 deprecates the versions below. They are answered, and kept to, as this one."""


class EnforcedTls(Struct, frozen=True):
    """What the connection to a recipient's host must have; mail that finds no such host waits and then bounces."""

    require_tls: bool
    require_valid_cert: bool
    version: float
    """The lowest version of TLS: 1.2 or 1.3."""


class EnforcedTlsChange(Struct, frozen=True):
    """The fields to change."""

    require_tls: bool | None = None
    require_valid_cert: bool | None = None
    version: float | None = None


class EnforcedTlsBody(TypedBody[EnforcedTlsChange]):
    decoder = msgspec.json.Decoder(EnforcedTlsChange)


class EnforcedTlsCalls:
    """The routes of this module."""

    def __init__(self, stored: StoredSettings) -> None:
        self._stored = stored

    def routes(self) -> RouteGroup:
        show = get(responses=answers(400, 401, 403, 404, 503), summary="Enforced TLS: the tenant's default")
        change = patch(
            dto=EnforcedTlsBody,
            return_dto=None,
            responses=answers(400, 401, 403, 404, 408, 413, 415, 422, 503),
            summary="Enforced TLS: change the fields that are given",
            example=Example(body={"require_tls": True, "require_valid_cert": False, "version": 1.3}),
        )
        return resource("/v3/user/settings/enforced_tls", show(self.show), change(self.change), tag="settings")

    async def show(self, request: ApiRequest) -> EnforcedTls:
        return _shown(await self._stored.of(request))

    async def change(self, request: ApiRequest, data: JSONBody[EnforcedTlsChange]) -> EnforcedTls:
        if data.version is not None and data.version not in VERSIONS:
            raise Invalid([Fault("The version is 1.2 or 1.3", "version")])

        def changed(settings: TenantSettings) -> TenantSettings:
            tls, certificate, version = settings.require_tls, settings.require_valid_certificate, settings.tls_version
            return structs.replace(
                settings,
                require_tls=tls if data.require_tls is None else data.require_tls,
                require_valid_certificate=certificate if data.require_valid_cert is None else data.require_valid_cert,
                tls_version=version if data.version is None else max(data.version, LOWEST_VERSION),
            )

        return _shown(await self._stored.change(request, changed))


def _shown(settings: TenantSettings) -> EnforcedTls:
    return EnforcedTls(settings.require_tls, settings.require_valid_certificate, settings.tls_version)
