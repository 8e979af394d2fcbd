"""The bodies of requests for sender domains, and their rules. SendGrid's fields are honoured or refused."""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Struct

from api.http import help_texts
from api.http.body import TypedBody
from api.http.refusals import Conflict, Fault, Invalid
from cluster.journal.journal import Rejected
from cluster.tenancy.domains import names
from cluster.tenancy.domains.domain import MOST_DOMAINS, Held, SenderDomain, TooMany
from cluster.tenancy.domains.managing import DomainManager
from cluster.tenancy.domains.names import BadName

LONGEST_NAME = 255
ONE_SPF = "The SPF record is made from the addresses that mail leaves from; leave the field out"


class DomainRequest(Struct, frozen=True, kw_only=True):
    """The domain to add."""

    domain: str = ""
    subdomain: str | None = None
    """The label of the return path below the domain; "bounces" when absent."""
    custom_dkim_selector: str | None = None
    """The selector of the RSA key; that of the Ed25519 key has a number behind it."""
    default: bool | None = None
    """Whether GET /default answers it."""
    automatic_security: bool | None = None
    """Whether its records are CNAMEs, which needs the setting domains.cname_target."""
    include_subdomains: bool | None = None
    """Whether mail may also be sent from every domain below it."""
    username: str | None = None
    ips: list[str] | None = None
    custom_spf: bool | None = None
    region: str | None = None


class DomainChange(Struct, frozen=True, kw_only=True):
    """What to change; what is absent stays as it is."""

    default: bool | None = None
    include_subdomains: bool | None = None
    custom_spf: bool | None = None


class DomainBody(TypedBody[DomainRequest]):
    decoder = msgspec.json.Decoder(DomainRequest)


class DomainChangeBody(TypedBody[DomainChange]):
    decoder = msgspec.json.Decoder(DomainChange)


async def add(manager: DomainManager, tenant_id: str, wanted: DomainRequest) -> SenderDomain:
    """Add the domain of a request. Raises Invalid, Conflict, Unavailable."""
    cname_target = manager.publishing().cname_target
    faults: list[Fault] = []
    _check_unoffered(wanted, bool(cname_target), faults)
    # The first domain reads the list of public suffixes, which takes 0.1 s.
    domain = await asyncio.to_thread(
        _named, names.sender_domain, wanted.domain, "domain", help_texts.DOMAIN_NAME, faults
    )
    subdomain, selector = names.DEFAULT_SUBDOMAIN, names.DEFAULT_SELECTOR
    if wanted.subdomain is not None:

        def label(text: str) -> str:
            return names.subdomain_label(text, domain)

        subdomain = _named(label, wanted.subdomain, "subdomain", help_texts.DOMAIN_LABEL, faults)
    if wanted.custom_dkim_selector is not None:
        given, help = wanted.custom_dkim_selector, help_texts.DOMAIN_SELECTOR
        selector = _named(names.selector, given, "custom_dkim_selector", help, faults)
    if faults:
        raise Invalid(faults)
    uses_cnames = bool(cname_target) if wanted.automatic_security is None else wanted.automatic_security
    try:
        return await manager.add(
            tenant_id,
            domain,
            subdomain=subdomain,
            selector=selector,
            include_subdomains=bool(wanted.include_subdomains),
            is_default=bool(wanted.default),
            uses_cnames=uses_cnames,
        )
    except Held as held:
        raise _conflict(held) from held
    except TooMany as error:
        fault = Fault(f"A tenant has at most {MOST_DOMAINS} domains", "domain", help_texts.DOMAIN_NEEDLESS)
        raise Invalid([fault]) from error
    except Rejected as error:
        raise Invalid([Fault(error.reason, help=help_texts.TENANTS)]) from error


async def change(manager: DomainManager, domain: SenderDomain, wanted: DomainChange) -> bool:
    """Change a domain; returns whether it still exists. Raises Invalid, Unavailable."""
    if wanted.custom_spf:
        raise Invalid([Fault(ONE_SPF, "custom_spf", help_texts.DOMAIN_RECORDS)])
    return await manager.stored.change(
        domain.id, domain.tenant_id, is_default=wanted.default, include_subdomains=wanted.include_subdomains
    )


def _check_unoffered(wanted: DomainRequest, has_target: bool, faults: list[Fault]) -> None:
    unoffered = (
        ("username", bool(wanted.username), "There are no subusers"),
        ("ips", bool(wanted.ips), ONE_SPF),
        ("custom_spf", bool(wanted.custom_spf), ONE_SPF),
        ("region", wanted.region not in (None, "", "global"), "There is one region, global"),
    )
    faults += [Fault(message, where, help_texts.DOMAIN_RECORDS) for where, is_given, message in unoffered if is_given]
    if wanted.automatic_security and not has_target:
        faults.append(Fault("This installation offers no CNAME records", "automatic_security", help_texts.CNAMES))


def _named(check: Callable[[str], str], text: str, where: str, help: str, faults: list[Fault]) -> str:
    """The checked name; "" when it has a fault."""
    if len(text) > LONGEST_NAME or "\0" in text:
        faults.append(Fault(f"At most {LONGEST_NAME} characters, without NUL", where, help))
        return ""
    if not text.strip():
        faults.append(Fault("It is required, and names something", where, help))
        return ""
    try:
        return check(text)
    except BadName as error:
        faults.append(Fault(error.reason, where, help))
        return ""


def _conflict(held: Held) -> Conflict:
    if held.is_own:
        return Conflict(f"The tenant has {held.domain} already", "domain", help_texts.DOMAIN_IS_YOURS)
    detail = f"Another tenant has {held.domain}"
    if held.gives_way_at is not None:
        detail += f"; if it is not verified before, it is free from {held.gives_way_at:%Y-%m-%d %H:%M} UTC"
    return Conflict(detail, "domain", help_texts.DOMAIN_IS_ANOTHERS)
