"""Sender domains, read only: the domains that a tenant may send from, and the DNS records that they need."""

from itertools import groupby
from typing import Literal

from litestar import get
from litestar.params import FromPath
from msgspec import Struct

from api.http import help_texts
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import DOMAIN_ID, Example
from api.http.refusals import NotFound
from api.http.routes import RouteGroup, resource
from cluster.dkim_keys import record_name, record_text
from cluster.journal.journal import Journal
from cluster.journal.records import SenderDomain


class DnsRecord(Struct, frozen=True, kw_only=True):
    """A record that the domain's owner publishes."""

    valid: bool
    type: Literal["txt"] = "txt"
    host: str
    data: str


class DomainDns(Struct, frozen=True, omit_defaults=True):
    """The DKIM keys of the domain; there are two during a rotation."""

    dkim1: DnsRecord
    dkim2: DnsRecord | None = None


class Domain(Struct, frozen=True, kw_only=True):
    """A sender domain in SendGrid's shape."""

    id: int
    domain: str
    subdomain: str = ""
    username: str = ""
    valid: bool
    default: bool = False
    dns: DomainDns


class Domains:
    """GET /v3/whitelabel/domains."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def routes(self) -> RouteGroup:
        listing = get(responses=answers(401, 403, 503), summary="List sender domains")
        show = get(
            "/{id:str}",
            responses=answers(400, 401, 403, 404, 503),
            summary="A sender domain",
            example=Example(path={"id": DOMAIN_ID}),
        )
        return resource("/v3/whitelabel/domains", listing(self.listing), show(self.show), tag="domains")

    async def listing(self, request: ApiRequest) -> list[Domain]:
        return domains(await self._journal.sender_domains.of_tenant(request.auth.tenant_id))

    async def show(self, request: ApiRequest, id: FromPath[str]) -> Domain:
        for domain in domains(await self._journal.sender_domains.of_tenant(request.auth.tenant_id)):
            if str(domain.id) == id:
                return domain
        raise NotFound("The domain does not exist", help=help_texts.DOMAIN)


def domains(keys: list[SenderDomain]) -> list[Domain]:
    """One entry per domain from the journal's rows, which are one per key and grouped by domain."""
    found = []
    for id, rows in groupby(keys, key=lambda key: key.id):
        of_domain = list(rows)
        found.append(
            Domain(
                id=id,
                domain=of_domain[0].domain,
                valid=of_domain[0].verified,
                dns=DomainDns(*[_dkim_record(key) for key in of_domain[:2]]),
            )
        )
    return found


def _dkim_record(key: SenderDomain) -> DnsRecord:
    """RFC 6376 §3.6.1."""
    return DnsRecord(
        valid=key.verified,
        host=record_name(key.domain, key.selector),
        data=record_text(key.public_key),
    )
