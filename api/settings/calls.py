"""/v3/tracking_settings and /v3/mail_settings: a tenant's defaults, section by section."""

from typing import Annotated, Any

import msgspec
from litestar import get, patch
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct, structs

from api.http.body import ApiRequest, TypedBody
from api.http.changes import change_of, given_in
from api.http.errors import answers
from api.http.examples import Example
from api.http.ignored import ignored_by
from api.http.refusals import Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.http.setting_rules import normalised
from api.settings.enforced_tls import EnforcedTlsCalls
from api.settings.sections import MAIL, TRACKING, Section, in_vain
from api.settings.stored import StoredSettings
from cluster.journal.journal import Journal
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.settings import TenantSettings

_READ = answers(400, 401, 403, 404, 503)
_CHANGE = answers(400, 401, 403, 404, 408, 413, 415, 422, 503)


class SettingState(Struct, frozen=True):
    """A setting in a list."""

    name: str
    title: str
    description: str
    enabled: bool


class SettingList(Struct, frozen=True):
    """Settings, and which of them are on."""

    result: list[SettingState]


class SettingCalls:
    """The routes of all sections."""

    def __init__(self, journal: Journal, directory: TenantDirectory, *, forwards_reports: bool) -> None:
        """``forwards_reports``: whether this installation sends bounces and complaints on."""
        self._forwards_reports = forwards_reports
        self._stored = StoredSettings(journal, directory)

    def routes(self) -> list[RouteGroup]:
        tracking = get(responses=_READ, summary="The tracking settings, and which of them are on")(self.tracking)
        mail = get(responses=_READ, summary="The mail settings, and which of them are on")(self.mail)
        return [
            resource("/v3/tracking_settings", tracking, *self._of_all(TRACKING), tag="settings"),
            resource("/v3/mail_settings", mail, *self._of_all(MAIL), tag="settings"),
            EnforcedTlsCalls(self._stored).routes(),
        ]

    async def tracking(self, request: ApiRequest) -> SettingList:
        return _listed(TRACKING, await self._stored.of(request))

    async def mail(
        self,
        request: ApiRequest,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 500,
        offset: Annotated[int, QueryParameter(ge=0)] = 0,
    ) -> SettingList:
        return _listed(MAIL[offset : offset + limit], await self._stored.of(request))

    def _of_all(self, sections: tuple[Section, ...]) -> list[HTTPRouteHandler]:
        return [handler for section in sections for handler in self._of(section)]

    def _of(self, section: Section) -> tuple[HTTPRouteHandler, HTTPRouteHandler]:
        body = change_of(section.kind)

        class Body(TypedBody[Any]):
            decoder = msgspec.json.Decoder(body)

        async def show(request: ApiRequest) -> Any:
            return getattr(await self._stored.of(request), section.name)

        async def change(request: ApiRequest, data: Any) -> Any:
            return await self._change(request, section, given_in(data))

        # The types of the section, for Litestar: it decodes, encodes and documents by them.
        show.__annotations__["return"] = change.__annotations__["return"] = section.kind
        change.__annotations__["data"] = JSONBody[body]  # type: ignore[misc, valid-type]
        path = f"/{section.name}"
        showing = get(path, responses=_READ, summary=f"{section.title}: the tenant's default")
        changing = patch(
            path,
            dto=Body,
            return_dto=None,
            responses=_CHANGE,
            summary=f"{section.title}: change the fields that are given",
            description=section.description,
            example=Example(body=dict(section.example)),
        )
        return showing(show), changing(change)

    async def _change(self, request: ApiRequest, section: Section, given: dict[str, Any]) -> Any:
        def changed(settings: TenantSettings) -> TenantSettings:
            faults: list[Fault] = []
            value = normalised(section.name, structs.replace(getattr(settings, section.name), **given), faults)
            if faults:
                raise Invalid(faults)
            return structs.replace(settings, **{section.name: value})

        value = getattr(await self._stored.change(request, changed), section.name)
        for name in in_vain(section, given, value.enabled, forwards_reports=self._forwards_reports):
            ignored_by(request.scope).ignore(name)
        return value


def _listed(sections: tuple[Section, ...], settings: TenantSettings) -> SettingList:
    return SettingList(
        [SettingState(one.name, one.title, one.description, getattr(settings, one.name).enabled) for one in sections]
    )
