"""Resolves the names that operators type: of a site, of a domain whose mail goes there, of a tenant. An unambiguous
prefix suffices. An unknown name is refused with similar names, so that a typing error does not look like a success.

A site is known when a delivery actor has it in memory or has sent mail there within a day, when mail is parked for it
or queued for its domains, when it is suspended, has recorded actions or is named by a route, and when it is a family of
hosts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

from api.admin.placing import ListSources
from api.http import help_texts
from api.http.refusals import Fault, Invalid, NotFound
from api.http.texts import check_name
from cluster.journal.journal import Journal
from cluster.lookup.semaphore import Semaphore
from cluster.policy.routes.destinations import Destination, parse
from cluster.policy.routes.domains import mail_domain, spelled_names
from cluster.policy.routes.rerouting import DEFAULT, DIRECT
from cluster.policy.routes.routing import DEFAULT_POOL
from cluster.policy.routes.sites import FAMILY_NAMES, matches
from cluster.routing.deliverers import Deliverers
from cluster.routing.views import SiteOfDomain
from cluster.typed_names import beginning_with, nearest

FindSite = Callable[[str], Awaitable[SiteOfDomain]]
"""Returns the site of a domain's mail, and the domain's problem."""
NamedSites = Callable[[], Collection[str]]
"""Returns the sites that the active routing names."""

MOST_SITES = 2000
MOST_ACTIONS = 1000
MOST_DOMAINS = 500
"""The most queued domains whose sites are looked up to resolve a name."""
LOOKUPS_AT_ONCE = 100
LOOKUPS_S = 5.0
"""The timeout for all these lookups together; unanswered ones give no name."""
MOST_TENANTS = 10_000
SHOWN = 5


class NameFinder:
    """Resolves names. Every method raises Invalid for an unknown name, and Unavailable."""

    def __init__(
        self,
        journal: Journal,
        deliverers: Deliverers,
        find_site: FindSite,
        named_sites: NamedSites,
        list_sources: ListSources,
    ) -> None:
        self._journal = journal
        self._deliverers = deliverers
        self._find_site = find_site
        self._named_sites = named_sites
        self._list_sources = list_sources

    async def place(self, site: str | None, domain: str | None) -> str | None:
        """The site by its own name, or otherwise by a domain's; None when neither is given."""
        if site is not None:
            return await self.site(site)
        return await self.site_of(domain) if domain is not None else None

    async def site(self, text: str) -> str:
        """The site with this name, or the only one with this prefix."""
        text = spelled_names(text)
        known = await self._sites_at_hand()
        if text in known or text in FAMILY_NAMES or await self._is_parked(text):
            return text
        known |= await self._sites_of_queue()
        # A family that has had no mail yet does not make a name ambiguous.
        found = _only(text, known if beginning_with(text, known) else FAMILY_NAMES)
        if found is not None:
            return found
        hint = ""
        if (domain := mail_domain(text)) is not None:
            of_domain = await self._find_site(domain)
            hint = (
                ". A site without mail of late is named by a domain whose mail goes there, as the domain (--domain)"
                if of_domain.problem
                else f". Mail for the domain {domain} goes to the site {of_domain.site}"
            )
        raise Invalid([Fault(_unknown("site", text, known or FAMILY_NAMES) + hint, "site")])

    async def site_of(self, text: str) -> str:
        """The site of a domain's mail."""
        return (await self._find_site(await self.domain(text))).site

    async def domain(self, text: str) -> str:
        """A domain (A-labels) that accepts mail or has queued mail, or the only queued one with this prefix."""
        domain = mail_domain(text)
        if domain is not None and not (await self._find_site(domain)).problem:
            return domain
        queued = set(await self._journal.known_names.queued_domains(MOST_SITES))
        if domain is not None and (domain in queued or await self._journal.known_names.is_queued_domain(domain)):
            return domain
        found = _only(spelled_names(text), queued)
        if found is None:
            raise Invalid([Fault(_unknown("domain", domain or text, queued), "domain")])
        return found

    async def tenant(self, text: str) -> str:
        """The id of the tenant with this id or name, or of the only one whose id or name has this prefix."""
        ids = dict(await self._journal.known_names.tenants_like(text, MOST_TENANTS))
        if text in ids:
            return text
        if len(named := [id for id, name in ids.items() if name == text]) == 1:
            return named[0]
        begun = sorted(id for id, name in ids.items() if id.startswith(text) or name.startswith(text))
        if len(begun) == 1:
            return begun[0]
        names = {*ids, *ids.values()}
        raise Invalid([Fault(_unknown("tenant", text, names, begun), "tenant_id")])

    async def tenant_of_path(self, text: str) -> str:
        """``tenant``, for a path. Raises NotFound with the nearest names, and Invalid for what is no name."""
        faults: list[Fault] = []
        check_name(text, "tenant", faults, longest=100)
        if faults:
            raise Invalid(faults)
        try:
            return await self.tenant(text)
        except Invalid as error:
            raise NotFound(error.faults[0].message, help=help_texts.TENANTS) from None

    async def check_message(self, message_id: str) -> None:
        """A message of any tenant that is not finished."""
        fate = await self._journal.fates.find(message_id)
        if fate is None:
            raise Invalid([Fault(f"There is no message {message_id}", "message_id")])
        if fate.status is not None:
            raise Invalid([Fault(f"Nothing of the message is queued: it is {fate.status}", "message_id")])

    async def check_batch(self, batch_id: str) -> None:
        """A batch of any tenant."""
        if not await self._journal.known_names.is_batch(batch_id):
            raise Invalid([Fault(f"No batch is known as {batch_id}", "batch_id")])

    async def check_pool(self, pool: str) -> None:
        """A pool of the active routing, or another one that queued mail names."""
        pools = await self._pools()
        if pool in (DEFAULT_POOL, *pools) or await self._journal.known_names.is_queued_pool(pool):
            return
        raise Invalid([Fault(_unknown("pool", pool, pools), "pool")])

    async def check_new_pool(self, pool: str) -> None:
        """A pool of the active routing."""
        pools = await self._pools()
        if pool not in pools:
            raise Invalid([Fault(_unknown("pool", pool, pools), "to_pool")])

    def check_route(self, name: str) -> None:
        """A route that mail can be moved to."""
        names = {DIRECT, DEFAULT, *self._named_sites()}
        if name not in names:
            raise Invalid([Fault(_unknown("route", name, names), "to_route")])

    async def like(self, pattern: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Some of the known sites that match a pattern (``matches``); when there are none, the most similar names."""
        pattern = spelled_names(pattern)
        known = await self._sites_at_hand() | await self._sites_of_queue()
        meant = sorted(site for site in known if matches(pattern, site))[:SHOWN]
        return tuple(meant), () if meant else nearest(pattern, known, SHOWN)

    async def _is_parked(self, site: str) -> bool:
        """Whether mail of a site is parked. There may be more lanes than ``_sites_at_hand`` looks at."""
        if "\0" in site:
            return False
        names = ("", *(source.name for source in await self._list_sources()))
        lanes = [str(Destination(site, source)) for source in names]
        return bool(await self._journal.queue_control.parked_in(lanes, 1))

    async def _pools(self) -> set[str]:
        return {share.pool for source in await self._list_sources() for share in source.pools}

    async def _sites_at_hand(self) -> set[str]:
        lanes = map(parse, await self._journal.queue_control.lane_names())
        return {
            *await self._deliverers.known_sites(),
            *(place.site for place in lanes if place is not None),
            *(suspension.site for suspension in await self._journal.suspensions.active() if suspension.site),
            *(
                action.site
                for action in await self._journal.site_actions.latest(None, MOST_ACTIONS)
                if _is_name(action.site)
            ),
            *self._named_sites(),
        }

    async def _sites_of_queue(self) -> set[str]:
        """The sites of queued mail: a deferred message is in no actor's memory."""
        semaphore = Semaphore(LOOKUPS_AT_ONCE)

        async def look(domain: str) -> str:
            async with semaphore:
                return (await self._find_site(domain)).site

        domains = await self._journal.known_names.queued_domains(MOST_DOMAINS)
        looks = [asyncio.ensure_future(look(domain)) for domain in domains]
        if not looks:
            return set()
        done, late = await asyncio.wait(looks, timeout=LOOKUPS_S)
        for task in late:
            task.cancel()
        return {task.result() for task in done}


def _is_name(site: str) -> bool:
    """Whether it can be a site's name. Older versions stored suspensions for any text, including patterns."""
    return site != "" and not set(site) & set("*?")


def _only(text: str, known: Iterable[str]) -> str | None:
    found = beginning_with(text, known)
    return found[0] if len(found) == 1 else None


def _unknown(kind: str, text: str, known: Collection[str], begun: Collection[str] | None = None) -> str:
    """The fault for a refused name."""
    begun = beginning_with(text, known) if begun is None else begun
    if len(begun) > 1:
        more = f" and {len(begun) - SHOWN} more" if len(begun) > SHOWN else ""
        return f"{text} is the beginning of several: {', '.join(sorted(begun)[:SHOWN])}{more}"
    near = nearest(text, known, SHOWN)
    return f"No {kind} is known as {text}" + (f"; the nearest: {', '.join(near)}" if near else "")
