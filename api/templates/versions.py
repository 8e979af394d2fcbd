"""/v3/templates/{id}/versions: the versions of a template, in SendGrid v3's shape and with ours.

A version is stored only if all of its texts can be compiled. A change makes new texts, so it acts on mail that is
accepted afterwards.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import structs

from api.http import help_texts
from api.http.body import MAY_BE_EMPTY, ApiRequest
from api.http.errors import answers
from api.http.examples import TEMPLATE_ID, VERSION_ID, Example
from api.http.existing import TEMPLATE, VERSION, existing, missing
from api.http.ignored import ignored_by
from api.http.refusals import Conflict, Fault, Faults, Invalid
from api.http.routes import RouteGroup, resource
from api.templates.bodies import Copy, CopyBody, VersionBody, VersionDto, changed, copy_name, new_fields
from api.templates.saving import Saving
from api.templates.views import VersionDetail, VersionList, version_detail, version_summary
from cluster.ids import is_id
from cluster.intake.intake import Intake
from cluster.journal.journal import Journal
from cluster.journal.templates import MOST_VERSIONS, TooManyVersions, Version, VersionFields, VersionInUse

LARGEST_BODY = 6 * 1024 * 1024
"""Html, plain text and test data of 1 MB each, with their escapes in JSON."""
TOO_MANY = f"A template has at most {MOST_VERSIONS} versions"
IN_USE = "The active version cannot be deleted"
CHANGED = "Another request changes the version at the same time"
_TRIES = 5
NO_COPY = Copy()
Found = TypeVar("Found")
_VERSION_EXAMPLE = {
    "name": "spring",
    "subject": "Welcome, {{name}}",
    "html_content": "<p>Hello {{name}}, your order is {{#if sent}}on its way{{else}}being packed{{/if}}.</p>",
    "test_data": '{"name": "Ada", "sent": true}',
    "active": 1,
}


class VersionCalls:
    """The routes of versions."""

    def __init__(self, journal: Journal, saving: Saving, intake: Intake, max_body_bytes: int) -> None:
        """``intake`` knows whether the system is full. ``max_body_bytes`` is the setting http.max_body_bytes."""
        self._journal = journal
        self._saving = saving
        self._intake = intake
        self._max_body_bytes = min(LARGEST_BODY, max_body_bytes)

    def routes(self) -> RouteGroup:
        of_template = {"template_id": TEMPLATE_ID}
        one, of_one = "/{id:str}", Example(path={**of_template, "id": VERSION_ID})
        with_body = (400, 401, 403, 404, 408, 413, 415, 422, 503)
        without_body = answers(400, 401, 403, 404, 503)
        return resource(
            "/v3/templates/{template_id:str}/versions",
            post(
                status_code=201,
                dto=VersionDto,
                return_dto=None,
                request_max_body_size=self._max_body_bytes,
                responses=answers(*with_body, 409),
                summary="Make a version of a template; a template that cannot be compiled is refused with its place",
                example=Example(path=of_template, body=_VERSION_EXAMPLE),
            )(self.create),
            get(
                responses=without_body,
                summary="The versions of a template, without their texts",
                example=Example(path=of_template),
            )(self.listing),
            get(one, responses=without_body, summary="A version of a template", example=of_one)(self.show),
            patch(
                one,
                dto=VersionDto,
                return_dto=None,
                request_max_body_size=self._max_body_bytes,
                responses=answers(*with_body, 409),
                summary="Change a version; mail that was accepted before is sent as it was",
                example=Example(path=of_one.path, body={"subject": "Welcome aboard, {{name}}"}),
            )(self.change),
            delete(
                one,
                status_code=204,
                responses=without_body,
                summary="Delete a version; not the active one",
                example=of_one,
            )(self.delete),
            post(
                f"{one}/activate",
                status_code=200,
                responses=without_body,
                summary="Make a version the one that mail uses",
                example=of_one,
            )(self.activate),
            post(
                f"{one}/deactivate",
                status_code=200,
                responses=without_body,
                summary="Make a version one that mail does not use",
                example=of_one,
            )(self.deactivate),
            post(
                f"{one}/duplicate",
                status_code=201,
                dto=CopyBody,
                return_dto=None,
                opt={MAY_BE_EMPTY: True},
                responses=answers(*with_body, 409),
                summary="Make a copy of a version; it is not active",
                example=Example(path=of_one.path, body={"name": "spring, a copy"}),
            )(self.duplicate),
            tag="templates",
        )

    async def create(
        self, request: ApiRequest, template_id: FromPath[str], data: JSONBody[VersionBody]
    ) -> VersionDetail:
        self._intake.require_room()
        stored, tenant_id = self._journal.templates, request.auth.tenant_id
        template = await existing(TEMPLATE, template_id, partial(stored.find, tenant_id))
        fields = await self._ready(request, new_fields(template.generation), data)
        try:
            made = await existing(
                TEMPLATE, template_id, lambda id: stored.add_version(tenant_id, id, fields, _active(data))
            )
        except TooManyVersions:
            raise _too_many() from None
        return version_detail(made, fields)

    async def listing(self, request: ApiRequest, template_id: FromPath[str]) -> VersionList:
        stored = self._journal.templates
        template = await existing(TEMPLATE, template_id, partial(stored.find, request.auth.tenant_id))
        return VersionList([version_summary(one) for one in await stored.versions([template.id])])

    async def show(self, request: ApiRequest, template_id: FromPath[str], id: FromPath[str]) -> VersionDetail:
        return _shown(await self._found(request.auth.tenant_id, template_id, id))

    async def change(
        self, request: ApiRequest, template_id: FromPath[str], id: FromPath[str], data: JSONBody[VersionBody]
    ) -> VersionDetail:
        self._intake.require_room()
        tenant_id = request.auth.tenant_id
        for _ in range(_TRIES):
            seen = await self._found(tenant_id, template_id, id)
            fields = await self._ready(request, seen.fields, data)
            record = await self._journal.templates.change_version(tenant_id, seen.record, fields, _active(data))
            if record is not None:
                return version_detail(record, fields)
        raise Conflict(CHANGED, help=help_texts.TEMPLATE_VERSION)

    async def delete(self, request: ApiRequest, template_id: FromPath[str], id: FromPath[str]) -> None:
        stored, tenant_id = self._journal.templates, request.auth.tenant_id
        try:
            await _existing(template_id, id, lambda id: stored.delete_version(tenant_id, template_id, id))
        except VersionInUse:
            raise Invalid([Fault(IN_USE, "id", help_texts.OTHER_VERSION)]) from None

    async def activate(self, request: ApiRequest, template_id: FromPath[str], id: FromPath[str]) -> VersionDetail:
        return await self._set_active(request.auth.tenant_id, template_id, id, True)

    async def deactivate(self, request: ApiRequest, template_id: FromPath[str], id: FromPath[str]) -> VersionDetail:
        return await self._set_active(request.auth.tenant_id, template_id, id, False)

    async def duplicate(
        self, request: ApiRequest, template_id: FromPath[str], id: FromPath[str], data: JSONBody[Copy] = NO_COPY
    ) -> VersionDetail:
        stored, tenant_id = self._journal.templates, request.auth.tenant_id
        original = await self._found(tenant_id, template_id, id)
        faults = Faults()
        name = copy_name(data, original.record.name, faults)
        if faults:
            raise Invalid(faults)
        try:
            copy = await _existing(
                template_id, id, lambda id: stored.duplicate_version(tenant_id, template_id, id, name)
            )
        except TooManyVersions:
            raise _too_many() from None
        return _shown(await self._found(tenant_id, template_id, copy.id))

    async def _ready(self, request: ApiRequest, fields: VersionFields, wanted: VersionBody) -> VersionFields:
        """The fields with what a request wants, ready to be stored. Raises Invalid, Overloaded."""
        faults = Faults()
        new = changed(fields, wanted, faults)
        if faults:
            raise Invalid(faults)
        if new.generate_plain_content and wanted.plain_content:
            ignored_by(request.scope).ignore("plain_content")
        texts = new.texts
        if new.generate_plain_content:
            # As long as the html stays, so does the text that was made from it.
            texts = structs.replace(texts, plain=fields.texts.plain)
        if texts == fields.texts and (fields.generate_plain_content or not new.generate_plain_content):
            return structs.replace(new, texts=texts)
        return await self._saving.ready(request.auth.tenant_id, new)

    async def _found(self, tenant_id: str, template_id: str, id: str) -> Version:
        """Raises NotFound."""
        return await _existing(template_id, id, lambda id: self._journal.templates.version(tenant_id, template_id, id))

    async def _set_active(self, tenant_id: str, template_id: str, id: str, is_active: bool) -> VersionDetail:
        stored = self._journal.templates
        await _existing(template_id, id, lambda id: stored.set_active(tenant_id, template_id, id, is_active))
        return _shown(await self._found(tenant_id, template_id, id))


async def _existing(template_id: str, id: str, find: Callable[[str], Awaitable[Found | None]]) -> Found:
    """The result of ``find`` for a version's id. Raises NotFound."""
    if not is_id("d-", template_id):
        raise missing(TEMPLATE)
    return await existing(VERSION, id, find)


def _active(data: VersionBody) -> bool | None:
    return None if data.active is None else bool(data.active)


def _shown(version: Version) -> VersionDetail:
    return version_detail(version.record, version.fields)


def _too_many() -> Conflict:
    return Conflict(TOO_MANY, help=help_texts.FEWER_VERSIONS)
