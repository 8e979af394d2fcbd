"""The submission server: SMTP for programs (RFC 6409), over TLS, with an API key as the password.

A message is answered with 250 and its id when it is committed; what the API answers with an error is a reply with the
same words. While the system is full or the journal away, the reply is 451, at once.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from msgspec import Struct

from api.http.access import ROUTES, Access
from api.http.auth import Authenticator
from api.http.refusals import Fault, Forbidden, Invalid, Refusal, Unauthenticated
from api.send.drafts import Draft
from api.send.notes import Notes
from api.send.sending import SENDGRID, Sending, Sent
from api.submission.filling import fill_faults, is_filled, takes_long
from api.submission.reading import read_dsn, read_submission
from api.submission.repeats import name_of
from cluster.access.client_address import client_address
from cluster.access.terms import network
from cluster.intake.backpressure import Overloaded
from cluster.intake.idempotency import Idempotency, KeyReused
from cluster.intake.intake import Intake
from cluster.journal.idempotency import FirstAnswer, IdempotencyKey
from cluster.journal.journal import Rejected, Unavailable
from cluster.journal.records import ApiKey
from cluster.keys import is_key, key_hash
from cluster.metrics import Counter
from cluster.policy.routes.networks import Address
from cluster.settings import MessageSettings, SubmissionSettings, host_port
from cluster.smtpd.certificate import Certificate
from cluster.smtpd.envelope import Answer, Extension, Login, ReceivedMessage, ServerOptions, ServerReply
from cluster.smtpd.server import SmtpServer
from cluster.tasks import Tasks
from cluster.tenancy.exceeded import LimitExceeded
from cluster.tenancy.limiter import TenantLimiter

T = TypeVar("T")

log = logging.getLogger(__name__)

ACCESS: Access = ROUTES["POST /v3/mail/send"]
"""Who may submit: the same keys as for the API."""
USER = "apikey"
LARGE_FROM_BYTES = 256 * 1024
"""A message of this size is read in a thread: it would hold up the event loop."""
MOST_HEADER_BYTES = 256 * 1024
MOST_ERRORS = 10
MOST_FAULTS_TOLD = 3
_WRONG = ServerReply(535, f"5.7.8 the user is {USER}, and the password an API key with the scope mail.send")
_AWAY = ServerReply(451, "4.3.0 the message cannot be stored now; try again")
_NOT_STORED = ServerReply(550, "5.6.0 the message cannot be stored")
_REUSED = ServerReply(550, "5.6.0 message-id: another message with it was submitted to these recipients within 24 h")
_LONGEST_TEXT = 400
"""Octets of a reply's text: RFC 5321 §4.5.3.1.5 allows a line of 512."""


class SubmissionParts(Struct, frozen=True):
    """What submission needs beside the parts of the API. ``hostname``: its name in greetings. ``find_certificate``
    reads or makes the certificate, which blocks."""

    settings: SubmissionSettings
    hostname: str
    find_certificate: Callable[[], Certificate]


class Submission:
    """Call ``start`` and ``stop`` once each."""

    messages = Counter("postray_submission_messages_total", "Messages accepted over SMTP.")
    refused = Counter("postray_submission_refused_total", "Messages that were refused, for good or for now.")

    def __init__(
        self,
        parts: SubmissionParts,
        limits: MessageSettings,
        authenticator: Authenticator,
        limiter: TenantLimiter,
        intake: Intake,
        sending: Sending,
        idempotency: Idempotency,
    ) -> None:
        self._parts = parts
        self._limits = limits
        self._authenticator = authenticator
        self._limiter = limiter
        self._intake = intake
        self._sending = sending
        self._idempotency = idempotency
        self._server: SmtpServer | None = None
        self._tasks = Tasks()
        self.port = self.tls_port = 0
        """The actual ports, once it listens; 0 where it does not."""

    async def start(self) -> None:
        """Listen. Raises OSError for an address that is taken, UnusablePair."""
        settings = self._parts.settings
        options = ServerOptions(
            hostname=self._parts.hostname,
            extensions=frozenset(Extension),
            max_message_bytes=self._limits.max_bytes,
            max_header_bytes=MOST_HEADER_BYTES,
            max_connections=settings.max_connections,
            max_connections_per_address=settings.max_connections_per_address,
            max_connections_per_login=settings.max_connections_per_key,
            max_errors=MOST_ERRORS,
        )
        certificate = await asyncio.to_thread(self._parts.find_certificate)
        self._tasks.spawn("certificate", certificate.watch())
        self._server = SmtpServer(
            self._take,
            options,
            tls=certificate.context,
            authenticate=self._authenticate,
            trusted_proxies=tuple(map(network, settings.trusted_proxies)),
        )
        try:
            if settings.bind:
                host, port = host_port(settings.bind)
                _, self.port = await self._server.start(host, port, shared=True)
                log.info("submission at %s:%d", host, self.port)
            if settings.tls_bind:
                host, port = host_port(settings.tls_bind)
                _, self.tls_port = await self._server.start(host, port, tls_at_once=True, shared=True)
                log.info("submission over TLS at %s:%d", host, self.tls_port)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End; messages that were received get their answer first."""
        if self._server is not None:
            await self._server.stop()
            self._server = None
        await self._tasks.stop()

    async def _authenticate(self, user: str, password: str, address: str) -> Login | ServerReply:
        if user != USER or not is_key(password):
            return _WRONG
        hash = key_hash(password)
        try:
            key = await self._authenticator.of_hash(hash, ACCESS, partial(_client, address))
            ACCESS.admit(key)
        except Unauthenticated:
            return _WRONG
        except Forbidden as refusal:
            return _reply(535, "5.7.8", refusal.detail)
        except (Overloaded, Unavailable):
            return ServerReply(454, "4.7.0 the key cannot be looked up now; try again")
        return Login(key.id, hash)

    async def _take(self, mail: ReceivedMessage) -> Answer:
        try:
            answer = await self._send(mail)
        except Exception:
            self.refused += 1
            raise
        if isinstance(answer, ServerReply) and answer.code >= 400:
            self.refused += 1
        else:
            self.messages += 1
        return answer

    async def _send(self, mail: ReceivedMessage) -> ServerReply:
        assert mail.login is not None and isinstance(mail.login.holder, bytes)
        try:
            # Asked for each message: a connection may outlive its key.
            key = await self._authenticator.of_hash(mail.login.holder, ACCESS, partial(_client, mail.address))
            ACCESS.admit(key)
            named = await self._name_of(mail, key)
            allowance = self._limiter.find(key.tenant_id) or await self._limiter.load(key.tenant_id)
            self._limiter.require_messages(allowance, uses_quota=not key.sandbox and named is None)
            send = partial(self._send_first, mail, key, named)
            sent = await (send() if named is None else self._idempotency.once(key.tenant_id, named, send))
        except Invalid as refusal:
            told = [f"{one.field}: {one.message}" if one.field else one.message for one in refusal.faults]
            return _reply(550, "5.6.0", "; ".join(told[:MOST_FAULTS_TOLD]))
        except Refusal as refusal:
            return _reply(550, "5.7.1", refusal.detail)
        except KeyReused:
            return _REUSED
        except LimitExceeded as exceeded:
            return _reply(452, "4.7.1", str(exceeded))
        except Overloaded as full:
            return _reply(451, "4.3.2", full.detail)
        except Unavailable as error:
            log.warning("message not stored reason=%r", error.reason)
            return _AWAY
        except Rejected as error:
            log.warning("message refused by the journal reason=%r", error.reason)
            return _NOT_STORED
        if isinstance(sent, FirstAnswer):
            return _accepted(sent.message_ids, "accepted before")
        return _accepted(sent.request.message_ids, "accepted")

    async def _name_of(self, mail: ReceivedMessage, key: ApiKey) -> IdempotencyKey | None:
        """The message's idempotency key; None where the tenant does not ask for it, or there is no Message-ID.
        Raises Forbidden when the tenant may not send."""
        if not (await self._sending.sender(key)).settings.submission_idempotency:
            return None
        return await _worked(mail, partial(name_of, mail.rcpt_to, mail.content, sandbox=key.sandbox))

    async def _send_first(self, mail: ReceivedMessage, key: ApiKey, named: IdempotencyKey | None) -> Sent:
        self._intake.require_room()
        notes = Notes()
        draft = await _worked(mail, partial(read_submission, mail.rcpt_to, mail.content, notes))
        if is_filled(draft):
            draft.faults += await self._fill_faults(draft)
        draft.dsn = read_dsn(mail)
        return await self._sending.send(draft, notes, key, named=named, access=SENDGRID.access)

    async def _fill_faults(self, draft: Draft) -> list[Fault]:
        work = partial(fill_faults, draft, self._limits.max_subject_bytes)
        return await asyncio.to_thread(work) if takes_long(draft) else work()


async def _worked(mail: ReceivedMessage, work: Callable[[], T]) -> T:
    """The result of work that takes longer the larger the message is: for a large one, it is done in a thread."""
    return await asyncio.to_thread(work) if len(mail.content) > LARGE_FROM_BYTES else work()


def _accepted(message_ids: Sequence[str], how: str) -> ServerReply:
    more = f" and {len(message_ids) - 1} more" if len(message_ids) > 1 else ""
    return ServerReply(250, f"2.0.0 {message_ids[0]}{more} {how}")


def _client(address: str) -> Address | str:
    """The client, as for requests over HTTP."""
    return client_address(address.partition("%")[0], (), ())


def _reply(code: int, enhanced: str, text: str) -> ServerReply:
    """A reply in one line of printable ASCII."""
    line = "".join([one if " " <= one <= "~" else "?" for one in " ".join(text.split())])
    return ServerReply(code, f"{enhanced} {line[:_LONGEST_TEXT]}")
