"""AUTH over one connection (RFC 4954): who sends, and what slows down those who guess.

An attempt is an ``Exchange`` of lines, then a look for who that is, during which input only waits. Each failure makes
the next answer slower, by client and by user, and is logged in one line.
"""

import asyncio
import logging
from collections.abc import Callable

from cluster.access.client_address import address_key
from cluster.access.login_failures import LONGEST_USER, failure_line
from cluster.smtpd import syntax
from cluster.smtpd.authentication import Credentials, Exchange
from cluster.smtpd.envelope import Extension, Login, ServerReply, Then
from cluster.smtpd.protocol import RECEIVING, ServerProtocol, ServerState, Service, count_down
from cluster.smtpd.proxy_protocol import Client

log = logging.getLogger(__name__)

NOT_IMPLEMENTED = ServerReply(502, "5.5.1 command not implemented")
OUT_OF_ORDER = ServerReply(503, "5.5.1 bad sequence of commands")
TOO_MANY_ERRORS = ServerReply(421, "4.7.0 too many errors", then=Then.CLOSE)
LOCAL_ERROR = ServerReply(451, "4.3.0 local error")
_NEEDS_TLS = ServerReply(538, "5.7.11 authentication needs TLS: STARTTLS comes first")
_TOO_MANY_OF_LOGIN = ServerReply(421, "4.7.0 too many connections of this login", then=Then.CLOSE)
_WELCOME = ServerReply(235, "2.7.0 authenticated")
_MOST_FAILED_LOGINS = 3
"""On one connection."""


class LoginSession(ServerProtocol):
    """A connection on which a client may authenticate. Subclasses know the other commands."""

    def __init__(
        self, service: Service, client: Client | None = None, counted: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(service, client, counted)
        self.exchange: Exchange | None = None
        """The attempt under way, which gets the next line."""
        self._errors = 0
        self._failed_logins = 0
        self._looking: asyncio.Future[Login | ServerReply] | None = None

    def in_transaction(self) -> bool:
        """Whether a message has begun."""
        raise NotImplementedError

    def forget_login(self) -> None:
        """The connection is lost, or starts again under TLS."""
        self.exchange = None
        if self.login is not None:
            count_down(self.service.logins, self.login.name)
            self.login = None

    def complain(self, reply: ServerReply) -> None:
        """Refuses invalid input; too much of it ends the connection."""
        self._errors += 1
        self.say(reply)
        if self._errors >= self.options.max_errors and self.state in RECEIVING:
            self.say(TOO_MANY_ERRORS)

    def on_auth(self, argument: str) -> None:
        """The command AUTH."""
        if self.service.authenticate is None or Extension.AUTH not in self.options.extensions:
            self.complain(NOT_IMPLEMENTED)
        elif not self.tls_version:
            self.complain(_NEEDS_TLS)
        elif self.login is not None or self.in_transaction():
            self.complain(OUT_OF_ORDER)
        elif not argument:
            self.complain(syntax.NO_SYNTAX)
        else:
            self.exchange = Exchange()
            self.go_on_with(self.exchange.begin(argument))

    def go_on_with(self, step: ServerReply | Credentials) -> None:
        """The next step of an attempt: a challenge, its end, or a look for who that is."""
        if isinstance(step, ServerReply):
            if step.code == 334:
                self.say(step)
            else:
                self.exchange = None
                self.complain(step)
            return
        self.exchange = None
        assert self.service.authenticate is not None
        self.wait()
        found = self.service.authenticate(step.user, step.password, self.address)
        self._looking = asyncio.ensure_future(found)
        self._looking.add_done_callback(lambda future: self._authenticated(step.user, future))

    def _authenticated(self, user: str, future: "asyncio.Future[Login | ServerReply]") -> None:
        found: Login | ServerReply = LOCAL_ERROR
        if not future.cancelled():
            error = future.exception()
            if error is None:
                found = future.result()
            else:
                log.error("a login from %s could not be looked up", self.peer, exc_info=error)
        if self.state is not ServerState.WAITING:  # the connection has ended meanwhile
            return
        service = self.service
        names = (f"address {address_key(self.address)}", f"user {user[:LONGEST_USER]}")
        if isinstance(found, ServerReply):
            if found.code >= 500:
                log.warning("%s", failure_line(self.address, user))
                self._failed_logins += 1
                is_last = self._failed_logins >= _MOST_FAILED_LOGINS
                then = Then.CLOSE if is_last else Then.CONTINUE
                found = ServerReply(found.code, found.text, delay_s=service.failures.add(*names), then=then)
            self.go_on(found)
        elif service.logins[found.name] >= self.options.max_connections_per_login:
            self.go_on(_TOO_MANY_OF_LOGIN)
        else:
            service.failures.forget(*names)
            service.logins[found.name] += 1
            self.login = found
            self.go_on(_WELCOME)
