"""/v3/whitelabel/links: the hosts of tenants' own for tracking, unsubscribe and image URLs. SendGrid's shapes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct, to_builtins

from api.http import help_texts
from api.http.body import ApiRequest, TypedBody
from api.http.errors import answers
from api.http.examples import LINK_ID, Example
from api.http.existing import number_id
from api.http.refusals import Conflict, Fault, Invalid, NotFound
from api.http.routes import RouteGroup, resource
from cluster.journal.branded_links import BrandedLink
from cluster.journal.journal import Journal, Rejected
from cluster.policy.routes.domains import mail_domain
from cluster.tenancy.domains.names import BadName, subdomain_label
from cluster.tenancy.links import AliasFinding, LinkRecords, finding, is_valid, link_records

DEFAULT_SUBDOMAIN = "links"
NO_PUBLIC_HOST = "The installation has no public host name that a record could lead to"
PUBLIC_URL_HELP = "The operator sets http.public_url in postray.toml, such as https://mail.example.net"
MOST_LINKS = 100
"""Links of one tenant."""

Aliases = Callable[[str], Awaitable[Sequence[str] | None]]
"""Looks up now where the CNAME records of a host lead, in order; None when the DNS does not answer."""


class LinkRecord(Struct, frozen=True, kw_only=True):
    """A CNAME record to publish, and whether the last look found it."""

    valid: bool
    type: Literal["cname"] = "cname"
    host: str
    data: str


class LinkDns(Struct, frozen=True, kw_only=True):
    """The records of a link."""

    domain_cname: LinkRecord
    owner_cname: LinkRecord
    """It names the tenant."""


class Link(Struct, frozen=True, kw_only=True):
    """A branded link."""

    id: int
    domain: str
    subdomain: str
    username: str = ""
    user_id: int = 0
    default: bool
    valid: bool
    """Whether links use this host. It is set by validate."""
    legacy: bool = False
    dns: LinkDns


class NewLink(Struct, frozen=True, kw_only=True):
    """A link to create."""

    domain: str | None = None
    subdomain: str | None = None
    default: bool | None = None
    region: str | None = None
    """Only "global" and "us": there is one installation."""


class LinkChange(Struct, frozen=True, kw_only=True):
    """What changes of a link."""

    default: bool | None = None


class LinkFinding(Struct, frozen=True, kw_only=True):
    """What was found of one record."""

    valid: bool
    reason: str | None
    """Why it is not valid; null when it is."""


class LinkFindings(Struct, frozen=True, kw_only=True):
    domain_cname: LinkFinding
    owner_cname: LinkFinding


class LinkValidation(Struct, frozen=True, kw_only=True):
    """The result of a look at the records, now."""

    id: int
    valid: bool
    validation_results: LinkFindings


class NewLinkBody(TypedBody[NewLink]):
    decoder = msgspec.json.Decoder(NewLink)


class LinkChangeBody(TypedBody[LinkChange]):
    decoder = msgspec.json.Decoder(LinkChange)


class Links:
    """The routes of branded links."""

    def __init__(self, journal: Journal, public_host: str, aliases: Aliases) -> None:
        """``public_host`` is the host of http.public_url, to which the records lead; "" without one."""
        self._journal = journal
        self._public_host = public_host
        self._aliases = aliases

    def routes(self) -> RouteGroup:
        with_body = (400, 401, 403, 408, 413, 415, 422, 503)
        by_id = {"id": LINK_ID}
        return resource(
            "/v3/whitelabel/links",
            get(responses=answers(400, 401, 403, 503), summary="The branded links")(self.listing),
            post(
                dto=NewLinkBody,
                return_dto=None,
                responses=answers(*with_body, 409),
                summary="Create a branded link",
                example=Example(body={"domain": "example.com", "subdomain": "links", "default": True}),
            )(self.create),
            get(
                "/default",
                responses=answers(400, 401, 403, 404, 503),
                summary="The branded link that mail uses",
            )(self.default),
            get(
                "/{id:str}",
                responses=answers(400, 401, 403, 404, 503),
                summary="A branded link",
                example=Example(path=by_id),
            )(self.show),
            patch(
                "/{id:str}",
                dto=LinkChangeBody,
                return_dto=None,
                responses=answers(*with_body, 404),
                summary="Make a branded link the default one, or not",
                example=Example(path=by_id, body={"default": True}),
            )(self.change),
            delete(
                "/{id:str}",
                responses=answers(400, 401, 403, 404, 503),
                summary="Delete a branded link",
                example=Example(path=by_id),
            )(self.delete),
            post(
                "/{id:str}/validate",
                status_code=200,
                responses=answers(400, 401, 403, 404, 503),
                summary="Look up the records of a branded link, now",
                example=Example(path=by_id),
            )(self.validate),
            tag="links",
        )

    async def listing(
        self, request: ApiRequest, limit: Annotated[int, QueryParameter(ge=1, le=MOST_LINKS)] = MOST_LINKS
    ) -> list[Link]:
        return [
            self._shown(link) for link in await self._journal.branded_links.of_tenant(request.auth.tenant_id, limit)
        ]

    async def create(self, request: ApiRequest, data: JSONBody[NewLink]) -> Link:
        tenant_id = request.auth.tenant_id
        domain, subdomain = self._checked(data)
        if await self._journal.branded_links.is_return_path(domain, subdomain):
            raise Invalid([Fault("It is the return path of a sender domain; choose another", "subdomain")])
        try:
            link = await self._journal.branded_links.create(
                tenant_id, domain, subdomain, is_default=bool(data.default), most=MOST_LINKS
            )
        except Rejected as error:
            taken = f"{subdomain}.{domain} is a branded link already"
            raise Conflict(taken, "subdomain", help_texts.OTHER_LINK) from error
        if link is None:
            raise Conflict(
                f"There are {MOST_LINKS} branded links already; delete one first", help=help_texts.FEWER_LINKS
            )
        return self._shown(link)

    async def default(
        self,
        request: ApiRequest,
        domain: Annotated[str | None, QueryParameter(description="The one for mail from this domain")] = None,
    ) -> Link:
        name = mail_domain(domain) if domain is not None else None
        if domain is not None and name is None:
            raise Invalid([Fault("Not a domain name", "domain")])
        link = await self._journal.branded_links.default(request.auth.tenant_id, name)
        if link is None:
            raise NotFound("There is no default branded link", help=help_texts.DEFAULT_LINK)
        return self._shown(link)

    async def show(self, request: ApiRequest, id: FromPath[str]) -> Link:
        return self._shown(await self._existing(request, id))

    async def change(self, request: ApiRequest, id: FromPath[str], data: JSONBody[LinkChange]) -> Link:
        link = await self._existing(request, id)
        if data.default is not None:
            changed = await self._journal.branded_links.set_default(link.tenant_id, link.id, data.default)
            if changed is None:
                raise _missing()
            link = changed
        return self._shown(link)

    async def delete(self, request: ApiRequest, id: FromPath[str]) -> None:
        link = await self._existing(request, id)
        if not await self._journal.branded_links.delete(link.tenant_id, link.id):
            raise _missing()

    async def validate(self, request: ApiRequest, id: FromPath[str]) -> LinkValidation:
        link = await self._existing(request, id)
        records = self._records(link)
        hosts = (records.host, records.owner)
        found = [
            finding(host, records.target, aliases)
            for host, aliases in zip(hosts, await asyncio.gather(*map(self._aliases, hosts)), strict=True)
        ]
        results = LinkFindings(domain_cname=_finding(found[0]), owner_cname=_finding(found[1]))
        checked = await self._journal.branded_links.checked(
            link.tenant_id, link.id, is_valid(found), to_builtins(results)
        )
        if checked is None:
            raise _missing()
        return LinkValidation(id=link.id, valid=checked.is_valid, validation_results=results)

    def _checked(self, data: NewLink) -> tuple[str, str]:
        """The domain and the subdomain in A-labels. Raises Invalid."""
        faults = []
        domain, subdomain = mail_domain(data.domain or ""), ""
        if domain is None:
            faults.append(Fault("A domain such as example.com is required", "domain"))
        else:
            try:
                subdomain = subdomain_label(data.subdomain or DEFAULT_SUBDOMAIN, domain)
            except BadName:
                faults.append(Fault("A label of letters, digits and hyphens, such as links", "subdomain"))
        if data.region not in (None, "us", "global"):
            faults.append(Fault("There is one region: us", "region"))
        if not self._public_host:
            faults.append(Fault(NO_PUBLIC_HOST, help=PUBLIC_URL_HELP))
        if domain is None or faults:
            raise Invalid(faults)
        return domain, subdomain

    async def _existing(self, request: ApiRequest, id: str) -> BrandedLink:
        """Raises NotFound."""
        number = number_id(id)
        found = None
        if number is not None:
            found = await self._journal.branded_links.find(request.auth.tenant_id, number)
        if found is None:
            raise _missing()
        return found

    def _records(self, link: BrandedLink) -> LinkRecords:
        return link_records(link.tenant_id, link.host, link.domain, self._public_host)

    def _shown(self, link: BrandedLink) -> Link:
        records = self._records(link)

        def record(name: str, host: str) -> LinkRecord:
            return LinkRecord(valid=bool(link.findings.get(name, {}).get("valid")), host=host, data=records.target)

        return Link(
            id=link.id,
            domain=link.domain,
            subdomain=link.subdomain,
            default=link.is_default,
            valid=link.is_valid,
            dns=LinkDns(
                domain_cname=record("domain_cname", records.host), owner_cname=record("owner_cname", records.owner)
            ),
        )


def _finding(found: AliasFinding) -> LinkFinding:
    return LinkFinding(valid=bool(found.valid), reason=found.reason)


def _missing() -> NotFound:
    return NotFound("The branded link does not exist", help=help_texts.LINK)
