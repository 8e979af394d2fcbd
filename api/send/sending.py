"""From a decoded request to send to its commit: all that is asked of it, wherever that is done.

Used by the handler for what is small, and by the worker process for what is not. Knows nothing of HTTP.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from api.http.access import ROUTES, SEND_AT
from api.http.refusals import Fault, Forbidden, Invalid
from api.send.conversion import new_request
from api.send.request import MailSend
from api.send.validation import check
from cluster.ids import is_id
from cluster.intake.senders import VerifiedDomains
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey, NewRequest
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.routes.domains import domain_of
from cluster.settings import DEFAULT_LIMITS, MessageSettings

BATCH_TTL_S = 5.0
"""How long an existing batch is believed without asking again."""
BATCHES_KEPT = 10_000

NOT_VERIFIED = "Sender domain not verified"
"""How the refusal begins: clients look for these words."""
_ACCESS = ROUTES["POST /v3/mail/send"]
DECODER = msgspec.json.Decoder(MailSend)

Commit = Callable[[NewRequest], Awaitable[None]]
Pause = Callable[[], Awaitable[None]]


class Sent(Struct, frozen=True):
    """A committed request, and what X-Postray-Ignored says of it; "" where nothing was said in vain."""

    request: NewRequest
    ignored: str


class Sending:
    """What is known of tenants, and the steps of a request."""

    def __init__(
        self,
        journal: Journal,
        commit: Commit,
        *,
        lifetime_s: float,
        limits: MessageSettings = DEFAULT_LIMITS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``commit`` returns when the request is on disk. ``lifetime_s``: a message expires this long after its send
        time, unless it says otherwise. ``limits``: of what messages become."""
        self._journal = journal
        self._commit = commit
        self._lifetime = timedelta(seconds=lifetime_s)
        self._limits = limits
        self._clock = clock
        self._domains = VerifiedDomains(journal)
        # Only a yes is remembered, so that a new batch can be used at once.
        self._batches: TtlCache[tuple[str, str], bool] = TtlCache(BATCHES_KEPT, time.monotonic)

    async def send(self, mail: MailSend, key: ApiKey, pause: Pause | None = None) -> Sent:
        """Check a request and commit it. ``pause`` is awaited between steps that take time; None for what is small.

        Raises Forbidden, Invalid, and what ``commit`` does.
        """
        if mail.scheduled:
            _ACCESS.require(key, SEND_AT)
        checked = check(mail, self._limits)
        if mail.batch_id is not None and not await self._has_batch(key.tenant_id, mail.batch_id):
            checked.faults.append(Fault("The batch does not exist", "batch_id"))
        if checked.faults:
            raise Invalid(checked.faults)
        sandbox = key.sandbox or mail.sandboxed
        if not sandbox:
            senders = checked.notes.senders
            unverified = await self._domains.first_unverified(key.tenant_id, _sender_domains(mail, senders))
            if unverified is not None:
                raise Forbidden(f"{NOT_VERIFIED}: {unverified}", _first_from(unverified, mail, senders))
        if pause:
            await pause()
        request = new_request(
            mail,
            checked.files,
            tenant_id=key.tenant_id,
            sandbox=sandbox,
            now=self._clock(),
            lifetime=self._lifetime,
        )
        if pause:
            await pause()
        await self._commit(request)
        return Sent(request, checked.notes.header())

    async def _has_batch(self, tenant_id: str, batch_id: str) -> bool:
        if not is_id("bat_", batch_id):
            return False
        if self._batches.get((tenant_id, batch_id)):
            return True
        exists = await self._journal.batches.exists(tenant_id, batch_id)
        if exists:
            self._batches.put((tenant_id, batch_id), True, BATCH_TTL_S)
        return exists


def _sender_domains(mail: MailSend, senders: Sequence[tuple[str, str]]) -> set[str]:
    """The domains of all from addresses, the shared one and the personalizations' own, and of ``senders`` (address and
    path)."""
    own = {one.from_.email for one in mail.personalizations or () if one.from_ is not None}
    of_fields = [email for email, _ in senders]
    return {domain_of(email) for email in (mail.from_ and mail.from_.email, *own, *of_fields) if email}


def _first_from(domain: str, mail: MailSend, senders: Sequence[tuple[str, str]]) -> str | None:
    """The path of the first sender at a domain."""
    shared = [(mail.from_, "from")]
    own = ((one.from_, f"personalizations[{index}].from") for index, one in enumerate(mail.personalizations or ()))
    named = ((mailbox.email, path) for mailbox, path in (*shared, *own) if mailbox is not None)
    return next((path for email, path in (*named, *senders) if email and domain_of(email) == domain), None)
