"""Who asks: the operator, by the password of ``analytics.password``, or a tenant, by an API key with stats.export."""

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from analytics.door.failures import ErrorCode, QueryFailed, failed
from cluster.access.client_address import address_key, client_address
from cluster.access.login_failures import LONGEST_USER, Failures, failure_line
from cluster.installation.local_secrets import SQL_USER as OPERATOR
from cluster.journal.journal import Unavailable
from cluster.journal.records import ApiKey
from cluster.keys import is_key, key_hash
from cluster.printable import printable

log = logging.getLogger(__name__)

TENANT = "apikey"
SCOPE = "stats.export"

FindKey = Callable[[bytes], Awaitable[ApiKey | None]]
"""The API key with this hash; None when there is none. Raises Unavailable."""


class Login(Struct, frozen=True):
    """``tenant_id``: "" for the operator, who reads everything."""

    tenant_id: str

    @property
    def is_tenant(self) -> bool:
        return bool(self.tenant_id)


class Logins:
    """Checks credentials. Each failure makes the next answer slower, by client and by user."""

    def __init__(
        self,
        password: str,
        find_key: FindKey,
        *,
        tenants_off: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``tenants_off``: why tenants may not log in; "" when they may. ``clock``: Unix time in seconds."""
        self._password = password
        self._find_key = find_key
        self._tenants_off = tenants_off
        self._clock = clock
        self._failures = Failures(time.monotonic)

    async def login(self, user: str, password: str, address: str) -> Login:
        """Who has these credentials. Raises QueryFailed."""
        names = (address_key(address), user[:LONGEST_USER])
        try:
            found = await self._found(user, password, address)
        except Unavailable:
            raise failed(ErrorCode.NETWORK_ERROR, "The key cannot be looked up now; try again") from None
        except QueryFailed as error:
            if error.code == ErrorCode.AUTHENTICATION_FAILED:
                log.warning("%s", failure_line(address, user))
                await asyncio.sleep(self._failures.add(*names))
            raise
        self._failures.forget(*names)
        return found

    async def _found(self, user: str, password: str, address: str) -> Login:
        wrong = failed(
            ErrorCode.AUTHENTICATION_FAILED,
            f"{printable(user[:LONGEST_USER])}: Authentication failed: the user is {OPERATOR}, with the password that "
            f"postray up prints, or {TENANT}, with an API key as the password",
        )
        if user == OPERATOR:
            if not self._password or not hmac.compare_digest(
                password.encode(errors="replace"), self._password.encode()
            ):
                raise wrong
            return Login("")
        key = await self._find_key(key_hash(password)) if user == TENANT and is_key(password) else None
        if key is None:
            raise wrong
        terms = key.terms
        if terms is not None:
            if self._clock() >= terms.expires_at:
                raise wrong
            client = client_address(address.partition("%")[0], (), ())
            if not terms.allows(client if not isinstance(client, str) else None):
                raise failed(ErrorCode.ACCESS_DENIED, "This key may not be used from this address")
        if SCOPE not in key.scopes or key.sandbox:
            raise failed(ErrorCode.ACCESS_DENIED, f"The key must have the scope {SCOPE}, and not be a sandbox key")
        if self._tenants_off:
            raise failed(ErrorCode.ACCESS_DENIED, self._tenants_off)
        return Login(key.tenant_id)
