"""Sending domains: what signs the mail of an author's domain, and where its bounces go.

For each tenant and author's domain this module keeps the signer, with all active keys of the sender domain, and the
host of the return path. It follows the tenants that change: within 5 s a new key signs, a retired one does not, and a
removed domain sends nothing more. That a domain is missing is never kept: before a delivery is ended for it, the
journal was asked. composing.py calls this; ``cluster/tenancy`` decides which keys are active.
"""

import logging
import math
from collections.abc import Callable, Collection
from time import monotonic

from msgspec import Struct

from actors.compose.dkim import Signer
from cluster.dkim_keys import load_private_key
from cluster.intake.senders import NOT_VERIFIED
from cluster.journal.journal import Journal
from cluster.journal.sender_domains import SigningDomain
from cluster.lookup.ttl_cache import TtlCache
from cluster.message.header_fields import NotComposable
from cluster.tenancy.directory import TenantDirectory
from cluster.vault import Vault, WrongKey

log = logging.getLogger(__name__)

DOMAINS_KEPT = 4000
"""Domains in the cache. Measured: 9 KB each, with an RSA-2048 key and an Ed25519 key."""
UNSIGNABLE_KEPT_S = 30.0
"""How long it is remembered that a domain's keys cannot be used, so that each such domain is logged twice a minute."""

Author = tuple[str, str]
"""A tenant's id, and the domain of an address in From, in canonical form."""


class SendingDomain(Struct, frozen=True):
    """What the mail of an author's domain is sent with."""

    signer: Signer
    return_path: str
    """The host of the envelope's sender."""
    tenant_number: int
    """Of the tenant that has it; envelope senders name it."""
    unsubscribe_host: str = ""
    """The host at which mail unsubscribes a recipient; "": at none."""


class NoSendingDomain(Struct, frozen=True):
    """No mail can be sent from an author's domain."""

    reason: str
    is_final: bool
    """Whether the domain is not the tenant's. Otherwise its keys cannot be used now, and mail waits."""


class SendingDomains:
    """A cache of sending domains. ``vault`` opens the private keys that the journal keeps sealed; ``clock`` is
    monotonic, in seconds. ``takes_mail``: whether mail to return paths comes to postray."""

    def __init__(
        self,
        journal: Journal,
        vault: Vault,
        directory: TenantDirectory,
        clock: Callable[[], float] = monotonic,
        *,
        takes_mail: bool = False,
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._directory = directory
        self._takes_mail = takes_mail
        self._kept: TtlCache[Author, SendingDomain | NoSendingDomain] = TtlCache(DOMAINS_KEPT, clock)
        self._changes = 0
        """How often a change was seen. What was read before the last of them is not kept."""
        directory.on_change(self._forget)

    async def find(self, authors: Collection[Author]) -> dict[Author, SendingDomain | NoSendingDomain]:
        """The sending domain of each author. Raises Unavailable."""
        await self._directory.ensure_fresh()
        return {author: self._kept.get(author) or await self._load(author) for author in authors}

    def _forget(self, tenants: Collection[str]) -> None:
        self._changes += 1
        self._kept.forget_where(lambda author, _: author[0] in tenants)

    async def _load(self, author: Author) -> SendingDomain | NoSendingDomain:
        tenant_id, domain = author
        changes = self._changes
        signing = await self._journal.sender_domains.signing(tenant_id, domain)
        if signing is None:
            return NoSendingDomain(f"{NOT_VERIFIED}: {domain}", is_final=True)
        found = self._opened(tenant_id, signing)
        if changes == self._changes:
            self._kept.put(author, found, math.inf if isinstance(found, SendingDomain) else UNSIGNABLE_KEPT_S)
        return found

    def _opened(self, tenant_id: str, signing: SigningDomain) -> SendingDomain | NoSendingDomain:
        """A domain whose keys cannot all be used signs nothing: without the RSA key most receivers could not verify its
        mail, and both keys are sealed with one secret."""
        try:
            keys = {key.selector: load_private_key(self._vault.open(key.sealed_private_key)) for key in signing.keys}
            # A return path without a label of its own is the domain itself, whose mail is the tenant's.
            is_own = self._takes_mail and signing.return_path != signing.domain
            return SendingDomain(
                Signer(signing.domain, keys),
                signing.return_path,
                signing.tenant_number,
                unsubscribe_host=signing.return_path if is_own else "",
            )
        except WrongKey as error:
            remedy = str(error)
        except (ValueError, NotComposable) as error:
            remedy = f"{error}: 'postray domains rotate {signing.domain}' makes new keys"
        log.error("mail waits, it cannot be signed domain=%s tenant=%s reason=%r", signing.domain, tenant_id, remedy)
        return NoSendingDomain(f"the signing keys of {signing.domain} cannot be used", is_final=False)
