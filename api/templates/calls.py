"""/v3/templates: a tenant's templates, in SendGrid v3's shape."""

from functools import partial
from typing import Annotated

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter

from api.http import help_texts
from api.http.body import MAY_BE_EMPTY, ApiRequest, header
from api.http.errors import answers
from api.http.examples import TEMPLATE_ID, Example
from api.http.existing import TEMPLATE, existing
from api.http.refusals import Conflict, Faults, Invalid
from api.http.routes import RouteGroup, resource
from api.templates.bodies import (
    Copy,
    CopyBody,
    NewTemplate,
    NewTemplateBody,
    TemplateChange,
    TemplateChangeBody,
    check_generation,
    check_name,
    copy_name,
)
from api.templates.paging import LARGEST_PAGE, TemplatePage, cut, links, wanted_page
from api.templates.views import TemplateDetail, TemplateSummary, template_detail, template_summary
from cluster.journal.journal import Journal
from cluster.journal.templates import MOST_TEMPLATES, TemplateRecord, TooManyTemplates, VersionRecord

PATH = "/v3/templates"
TOO_MANY = f"A tenant has at most {MOST_TEMPLATES} templates"
NO_COPY = Copy()


class TemplateCalls:
    """The routes of templates."""

    def __init__(self, journal: Journal, public_url: str) -> None:
        """``public_url`` is http.public_url; "" without one."""
        self._journal = journal
        self._scheme = public_url.partition("://")[0]

    def routes(self) -> RouteGroup:
        one, of_one = "/{id:str}", Example(path={"id": TEMPLATE_ID})
        with_body = (400, 401, 403, 408, 413, 415, 422, 503)
        without_body = (400, 401, 403, 404, 503)
        return resource(
            PATH,
            post(
                status_code=201,
                dto=NewTemplateBody,
                return_dto=None,
                responses=answers(*with_body, 409),
                summary="Make a template; a version of it has the texts",
                example=Example(body={"name": "welcome", "generation": "dynamic"}),
            )(self.create),
            get(
                responses=answers(400, 401, 403, 503),
                summary="The templates, the oldest first",
                example=Example(query={"generations": "dynamic", "page_size": 50}),
            )(self.listing),
            get(one, responses=answers(*without_body), summary="A template and its versions", example=of_one)(
                self.show
            ),
            patch(
                one,
                dto=TemplateChangeBody,
                return_dto=None,
                responses=answers(*with_body, 404),
                summary="Rename a template",
                example=Example(path=of_one.path, body={"name": "welcome, 2026"}),
            )(self.change),
            delete(
                one,
                status_code=204,
                responses=answers(*without_body),
                summary="Delete a template with its versions; mail that was accepted with it is sent",
                example=of_one,
            )(self.delete),
            post(
                one,
                status_code=201,
                dto=CopyBody,
                return_dto=None,
                opt={MAY_BE_EMPTY: True},
                responses=answers(*with_body, 404, 409),
                summary="Make a copy of a template with its versions",
                example=Example(path=of_one.path, body={"name": "welcome, a copy"}),
            )(self.duplicate),
            tag="templates",
        )

    async def create(self, request: ApiRequest, data: JSONBody[NewTemplate]) -> TemplateSummary:
        faults = Faults()
        name = check_name(data.name, faults)
        generation = check_generation(data.generation, faults)
        if faults:
            raise Invalid(faults)
        try:
            template = await self._journal.templates.create(request.auth.tenant_id, name, generation)
        except TooManyTemplates:
            raise _too_many() from None
        return template_summary(template, ())

    async def listing(
        self,
        request: ApiRequest,
        generations: Annotated[
            str | None, QueryParameter(max_length=40, description='"dynamic", "legacy", or both: the default')
        ] = None,
        page_size: Annotated[int, QueryParameter(ge=1, le=LARGEST_PAGE)] = LARGEST_PAGE,
        page_token: Annotated[str | None, QueryParameter(max_length=100, description="From _metadata")] = None,
    ) -> TemplatePage:
        tenant_id, stored = request.auth.tenant_id, self._journal.templates
        wanted = wanted_page(generations, page_size, page_token)
        found = await stored.page(
            tenant_id, wanted.generations, wanted.size + 1, after=wanted.after, before=wanted.before
        )
        page, is_more = cut(found, wanted.size)
        if wanted.is_backwards:
            page.reverse()
        versions = await self._versions_of(page)
        url = f"{self._scheme or request.scope['scheme']}://{header(request.scope, b'host') or 'localhost'}{PATH}"
        return TemplatePage(
            result=[template_summary(one, versions[one.id]) for one in page],
            metadata=links(wanted, page, is_more, await stored.count(tenant_id, wanted.generations), url),
        )

    async def show(self, request: ApiRequest, id: FromPath[str]) -> TemplateDetail:
        template = await existing(TEMPLATE, id, partial(self._journal.templates.find, request.auth.tenant_id))
        return await self._detail(request.auth.tenant_id, template)

    async def change(self, request: ApiRequest, id: FromPath[str], data: JSONBody[TemplateChange]) -> TemplateDetail:
        stored, tenant_id = self._journal.templates, request.auth.tenant_id
        if data.name is None:
            return await self.show(request, id)
        faults = Faults()
        name = check_name(data.name, faults)
        if faults:
            raise Invalid(faults)
        template = await existing(TEMPLATE, id, lambda id: stored.rename(tenant_id, id, name))
        return await self._detail(tenant_id, template)

    async def delete(self, request: ApiRequest, id: FromPath[str]) -> None:
        await existing(TEMPLATE, id, partial(self._journal.templates.delete, request.auth.tenant_id))

    async def duplicate(self, request: ApiRequest, id: FromPath[str], data: JSONBody[Copy] = NO_COPY) -> TemplateDetail:
        stored, tenant_id = self._journal.templates, request.auth.tenant_id
        original = await existing(TEMPLATE, id, partial(stored.find, tenant_id))
        faults = Faults()
        name = copy_name(data, original.name, faults)
        if faults:
            raise Invalid(faults)
        try:
            copy = await existing(TEMPLATE, id, lambda id: stored.duplicate(tenant_id, id, name))
        except TooManyTemplates:
            raise _too_many() from None
        return await self._detail(tenant_id, copy)

    async def _detail(self, tenant_id: str, template: TemplateRecord) -> TemplateDetail:
        stored = self._journal.templates
        versions = await stored.versions([template.id])
        return template_detail(template, versions, await stored.version(tenant_id, template.id, None))

    async def _versions_of(self, page: list[TemplateRecord]) -> dict[str, list[VersionRecord]]:
        """The versions by the ids of their templates."""
        versions: dict[str, list[VersionRecord]] = {template.id: [] for template in page}
        for version in await self._journal.templates.versions(list(versions)):
            versions[version.template_id].append(version)
        return versions


def _too_many() -> Conflict:
    return Conflict(TOO_MANY, help=help_texts.FEWER_TEMPLATES)
