"""The cache of sending domains: what is kept, what is forgotten, and what is asked again."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from actors.delivery.signing import UNSIGNABLE_KEPT_S, Author, NoSendingDomain, SendingDomain, SendingDomains
from cluster.dkim_keys import generate_ed25519_key
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.sender_domains import DkimKey, SigningDomain
from cluster.tenancy.directory import FRESH_S, TenantDirectory
from cluster.vault import Vault

VAULT = Vault("Zm9yIHRlc3RzIG9ubHksIG5vdCBhIHJlYWwga2V5ISE=")
OTHER = Vault("YW5vdGhlciBzZWNyZXQgZm9yIHRlc3RzIG9ubHkhISE=")
ACME: Author = ("tnt_1", "news.acme.example")
PEM, _ = generate_ed25519_key()


def signing(*sealed: bytes, selector: str = "e1") -> SigningDomain:
    keys = tuple(DkimKey(algorithm="ed25519", selector=selector, sealed_private_key=one) for one in sealed)
    return SigningDomain(domain="acme.example", return_path="bounces.acme.example", tenant_number=1, keys=keys)


class Store:
    """The journal's domains and changes, with a count of what was asked."""

    def __init__(self) -> None:
        self.now = 100.0
        self.domains: dict[Author, SigningDomain] = {ACME: signing(VAULT.seal(PEM))}
        self.asked: list[Author] = []
        self.changed: set[str] = set()
        self.answer = asyncio.Event()
        self.answer.set()
        self.away = False
        journal = cast(
            Journal,
            SimpleNamespace(
                tenants=SimpleNamespace(find=None, changed=self._poll),
                api_keys=SimpleNamespace(by_hash=None),
                sender_domains=SimpleNamespace(signing=self._signing),
            ),
        )
        self.directory = TenantDirectory(journal, lambda: self.now)
        self.journal = journal
        self.cache = SendingDomains(journal, VAULT, self.directory, lambda: self.now)

    async def find(self, author: Author = ACME) -> SendingDomain | NoSendingDomain:
        return (await self.cache.find([author]))[author]

    async def change(self, tenant: str, author: Author, to: SigningDomain | None) -> None:
        self.domains.pop(author, None)
        if to is not None:
            self.domains[author] = to
        self.changed = {tenant}
        await self.directory.refresh()

    async def _signing(self, tenant_id: str, domain: str) -> SigningDomain | None:
        self.asked.append((tenant_id, domain))
        found = self.domains.get((tenant_id, domain))
        await self.answer.wait()
        return found

    async def _poll(self, since: int | None) -> tuple[int, frozenset[str]]:
        if self.away:
            raise Unavailable("away")
        changed, self.changed = frozenset(self.changed), set()
        return 1, changed


@pytest.fixture
async def store() -> Store:
    return Store()


async def test_a_domain_is_kept_until_its_tenant_changes(store: Store) -> None:
    first = await store.find()
    assert isinstance(first, SendingDomain) and first.return_path == "bounces.acme.example"
    await store.change("tnt_2", ("tnt_2", "other.example"), None)
    assert await store.find() is first
    assert store.asked == [ACME]
    await store.change("tnt_1", ACME, signing(VAULT.seal(PEM), selector="e2"))
    assert await store.find() is not first
    assert store.asked == [ACME, ACME]


@pytest.mark.parametrize("takes_mail", [True, False])
@pytest.mark.parametrize("return_path", ["bounces.acme.example", "acme.example"])
async def test_mail_unsubscribes_only_at_a_return_path_that_is_ours(
    store: Store, takes_mail: bool, return_path: str
) -> None:
    store.domains[ACME] = replace(signing(VAULT.seal(PEM)), return_path=return_path)
    cache = SendingDomains(store.journal, VAULT, store.directory, lambda: store.now, takes_mail=takes_mail)
    found = (await cache.find([ACME]))[ACME]
    assert isinstance(found, SendingDomain)
    assert found.unsubscribe_host == ("bounces.acme.example" if takes_mail and "bounces" in return_path else "")


async def test_what_was_read_while_something_changed_is_not_kept(store: Store) -> None:
    await store.directory.refresh()
    store.answer.clear()
    reading = asyncio.create_task(store.find())
    while not store.asked:
        await asyncio.sleep(0)
    await store.change("tnt_1", ACME, None)
    store.answer.set()
    await reading
    assert isinstance(await store.find(), NoSendingDomain)


async def test_nothing_is_used_unless_changes_are_known(store: Store) -> None:
    await store.find()
    store.away = True
    store.now += FRESH_S - 0.1
    await store.find()
    store.now += 0.1
    with pytest.raises(Unavailable):
        await store.find()


async def test_a_missing_domain_is_asked_for_each_time(store: Store) -> None:
    author = ("tnt_1", "new.example")
    found = await store.find(author)
    assert found == NoSendingDomain("Sender domain not verified: new.example", is_final=True)
    store.domains[author] = signing(VAULT.seal(PEM))
    assert isinstance(await store.find(author), SendingDomain)


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        (signing(VAULT.seal(PEM), OTHER.seal(PEM)), "put it back from a backup"),
        (signing(b"damaged"), "put it back from a backup"),
        (signing(VAULT.seal(b"no key")), "postray domains rotate acme.example"),
        (signing(VAULT.seal(PEM), selector="no selector"), "postray domains rotate acme.example"),
        (signing(), "postray domains rotate acme.example"),
    ],
    ids=["another secret", "damaged", "no key", "bad selector", "none"],
)
async def test_keys_that_cannot_be_used_put_mail_off_and_the_log_names_the_remedy(
    store: Store, found: SigningDomain, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.domains[ACME] = found
    for _ in range(2):
        assert await store.find() == NoSendingDomain("the signing keys of acme.example cannot be used", is_final=False)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert remedy in record.getMessage() and "acme.example" in record.getMessage()
    store.domains[ACME] = signing(VAULT.seal(PEM))
    store.now += UNSIGNABLE_KEPT_S
    assert isinstance(await store.find(), SendingDomain)


async def test_tenants_of_one_domain_have_their_own_keys(store: Store) -> None:
    other: Any = ("tnt_2", ACME[1])
    found = await store.cache.find([ACME, other])
    assert isinstance(found[ACME], SendingDomain)
    assert isinstance(found[other], NoSendingDomain)
