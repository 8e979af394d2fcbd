"""Opening a connection to a site: its hosts in the order of trying, their addresses, one after the other.

In capture and relay mode there is one fixed host; in direct mode the DNS names the mail exchangers of the domain.
"""

from collections.abc import AsyncIterator

from actors.delivery.connection import ConnectError
from actors.delivery.job import NoRoute
from actors.delivery.resolver import Resolver
from actors.delivery.smtp import SmtpConnection
from cluster.policy import mx
from cluster.settings import SmtpSettings

MAX_TRIES = 6
"""Addresses tried for one connection. A dead site with many hosts must not hold a worker for an hour."""


class Connector:
    """``fixed``: (host, port) that takes the mail of every site; None asks the DNS for each. ``helo_name`` is given
    in EHLO (RFC 5321 §4.1.1.1)."""

    def __init__(
        self, resolver: Resolver, settings: SmtpSettings, helo_name: str, fixed: tuple[str, int] | None
    ) -> None:
        self._resolver = resolver
        self._settings = settings
        self._fixed = fixed
        self._helo_name = helo_name

    async def connect(self, site: str) -> SmtpConnection:
        """A connection to the first host that gives one. Raises ConnectError (the last one's), NoRoute."""
        failure: ConnectError | NoRoute | None = None
        tries = 0
        port = self._fixed[1] if self._fixed else self._settings.port
        async for host, found in self._hosts(site):
            if isinstance(found, NoRoute):
                failure = _worse(failure, found)
                continue
            for address in found.addresses:
                if tries == MAX_TRIES:
                    break
                tries += 1
                try:
                    return await SmtpConnection.open(
                        host, address, port, settings=self._settings, helo_name=self._helo_name
                    )
                except ConnectError as error:
                    failure = error
        assert failure is not None, "a route has at least one host, a host at least one address"
        raise failure

    async def _hosts(self, site: str) -> AsyncIterator[tuple[str, mx.Addresses | NoRoute]]:
        for host in await self._names(site):
            found = await self._resolver.addresses(host)
            yield host, found if isinstance(found, mx.Addresses) else _no_route(found)

    async def _names(self, site: str) -> tuple[str, ...]:
        if self._fixed:
            return (self._fixed[0],)
        route = await self._resolver.resolve(site)
        if isinstance(route, mx.MailHosts):
            return route.names
        raise _no_route(route)


def _no_route(answer: mx.Unroutable | mx.Unresolved) -> NoRoute:
    if isinstance(answer, mx.Unroutable):
        return NoRoute(f"{answer.name}: {answer.cause.replace('_', ' ')}", permanent=True)
    return NoRoute(f"{answer.name}: DNS {answer.reason}", permanent=False)


def _worse(failure: ConnectError | NoRoute | None, found: NoRoute) -> ConnectError | NoRoute:
    """The failure to tell: any that can be otherwise later, over one that cannot."""
    return found if failure is None or (isinstance(failure, NoRoute) and failure.permanent) else failure
