"""A host that lets a connection carry only so much: all its mail arrives at once, over more connections."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from cluster.events import Deferred, Delivered, Event
from cluster.journal.journal import Journal
from cluster.journal.records import NewMessage
from tests.integration.delivery.hostile import CHUNKS, ONE_BY_ONE, PIPELINED, SETTINGS, Hosts, addressed, hosts
from tests.integration.journal.builders import a_message
from tests.integration.smtp.peer import Answer, Peer, Step

CONNECTIONS = 4
LIMITED = replace(SETTINGS, connections_per_site=CONNECTIONS)
MODES = {"chunks": CHUNKS, "pipelined": PIPELINED, "one-by-one": ONE_BY_ONE}
TOO_MANY = "452 4.4.5 Maximum number of messages per session exceeded"
CLOSES = "421 4.4.5 too many messages in this connection"
REFUSALS = [
    ("MAIL", TOO_MANY),
    ("MAIL", CLOSES),
    ("MAIL", "554 5.7.1 too many messages per session"),
    ("RCPT", "452 4.5.3 too many recipients on this connection"),
    ("RCPT", CLOSES),
    ("DATA", TOO_MANY),
    ("DATA", CLOSES),
    ("END", TOO_MANY),
    ("END", CLOSES),
]
_DATA = ("DATA", "CHUNK", "BDAT")


class Sparing(Peer):
    """Refuses what is beyond ``at_most`` of a command on each connection. 421 ends the connection."""

    def __init__(self, verb: str, reply: str, at_most: int = 10, extensions: tuple[str, ...] = CHUNKS) -> None:
        super().__init__(extensions=extensions)
        self.refused = 0
        self.carried: Counter[asyncio.StreamWriter] = Counter()
        """Transactions that each connection has begun."""
        self._verb = "BDAT" if verb in ("DATA", "END") and "CHUNKING" in extensions else verb
        self._answer_beyond: Answer = (f"{reply}\r\n".encode(), *([Step.DROP] if reply.startswith("421") else []))
        self._at_most = at_most
        self._had: Counter[asyncio.StreamWriter] = Counter()
        self._is_refused: set[asyncio.StreamWriter] = set()
        """Connections whose transactions have no sender."""
        self._recipients: Counter[asyncio.StreamWriter] = Counter()
        """Accepted recipients of the current transaction."""

    def _next(self, verb: str, writer: asyncio.StreamWriter) -> Answer:
        if verb == "MAIL":
            self._is_refused.discard(writer)
            self.carried[writer] += 1
            self._recipients[writer] = 0
        elif writer in self._is_refused if verb == "RCPT" else verb in _DATA and not self._recipients[writer]:
            return (b"503 5.5.1 out of sequence\r\n",)
        self._had[writer] += verb == self._verb
        if verb == self._verb and self._had[writer] > self._at_most:
            self.refused += 1
            if verb == "MAIL":
                self._is_refused.add(writer)
            return self._answer_beyond
        self._recipients[writer] += verb == "RCPT"
        return super()._next(verb, writer)


async def sent(there: Hosts, messages: list[NewMessage]) -> list[Event]:
    """The events of these messages, each of which is delivered in the first attempt."""
    await there.world.accept(*messages)
    for message in messages:
        await there.world.finished(message)
    events = [event for message in messages for event in await there.world.events_of(message, len(message.recipients))]
    assert all(isinstance(event, Delivered) and event.attempt == 1 for event in events), events
    return events


async def assert_not_slowed(there: Hosts) -> None:
    for site in there.world.deliverer.parts.sites:
        assert not site.adjustments.is_lowered
        assert not site.blocked_until and not site.suspended_until
    assert await there.world.journal.site_actions.latest(None, 10) == []
    assert there.world.deliverer.parts.automation.actions == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("verb", "reply"), REFUSALS)
async def test_all_is_delivered_at_once_and_nothing_is_slowed(
    journal: Journal, mode: str, verb: str, reply: str
) -> None:
    async with hosts(journal, LIMITED) as there:
        await there.host("sparing.test", peer := Sparing(verb, reply, extensions=MODES[mode]))
        await sent(there, [addressed("sparing.test") for _ in range(60)])
        await assert_not_slowed(there)
        assert peer.refused <= CONNECTIONS, "it is told once, by those of its connections that were open then"
        assert peer.connections <= 60 // 10 + CONNECTIONS


async def test_a_host_that_says_so_to_the_first_message_puts_it_off(journal: Journal) -> None:
    async with hosts(journal, LIMITED) as there:
        await there.host("never.test", peer := Sparing("MAIL", TOO_MANY, at_most=0))
        messages = [addressed("never.test") for _ in range(3)]
        await there.world.accept(*messages)
        await there.world.scheduler.paging.round()
        for message in messages:
            (event,) = await there.world.events_of(message, 1)
            assert isinstance(event, Deferred) and event.smtp_response == TOO_MANY
        assert (peer.refused, peer.connections) == (3, 3), "each message is asked for once, first on its connection"


async def test_a_message_for_more_recipients_than_a_connection_may_have_goes_over_several(journal: Journal) -> None:
    async with hosts(journal, LIMITED) as there:
        enough = "452 4.5.3 too many recipients on this connection"
        await there.host("sparing.test", peer := Sparing("RCPT", enough))
        events = await sent(there, [addressed("sparing.test", 25)])
        assert len({event.recipient for event in events}) == 25
        assert (len(peer.messages), peer.connections) == (3, 3)
        await assert_not_slowed(there)


class Few(Sparing):
    """Refuses what is beyond ``at_most`` recipients in each transaction."""

    def _next(self, verb: str, writer: asyncio.StreamWriter) -> Answer:
        if verb == "MAIL":
            self._had[writer] = 0
        return super()._next(verb, writer)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("host", "reply"),
    [(Few, "421 4.5.3 too many recipients"), (Sparing, "421 4.5.3 too many recipients in this session")],
)
async def test_a_host_that_hangs_up_at_one_recipient_too_many_gets_fewer(
    journal: Journal, mode: str, host: type[Sparing], reply: str
) -> None:
    async with hosts(journal, LIMITED) as there:
        await there.host("few.test", peer := host("RCPT", reply, extensions=MODES[mode]))
        events = await sent(there, [addressed("few.test", 14)])
        assert len({event.recipient for event in events}) == 14
        assert (len(peer.messages), peer.refused) == (2, 1)
        await assert_not_slowed(there)


# RFC 9422


class Announcing(Sparing):
    """Notes how many recipients each transaction has, and which domains each connection."""

    def __init__(self, limits: str, at_most: int) -> None:
        super().__init__("MAIL", TOO_MANY, at_most, (*CHUNKS, f"LIMITS {limits}"))
        self.recipients: list[list[str]] = []
        self.domains: dict[asyncio.StreamWriter, set[str]] = {}

    def _next(self, verb: str, writer: asyncio.StreamWriter) -> Answer:
        if verb == "MAIL":
            self.recipients.append([])
        elif verb == "RCPT":
            address = self.commands[-1].decode().partition("<")[2].partition(">")[0]
            self.recipients[-1].append(address)
            self.domains.setdefault(writer, set()).add(address.partition("@")[2])
        return super()._next(verb, writer)


async def test_no_more_messages_on_a_connection_than_announced(journal: Journal) -> None:
    async with hosts(journal, LIMITED) as there:
        await there.host("announcing.test", peer := Announcing("MAILMAX=5 FUTURE=1", at_most=5))
        await sent(there, [addressed("announcing.test") for _ in range(40)])
        assert (peer.refused, max(peer.carried.values())) == (0, 5)


async def test_operators_see_what_is_kept_to(journal: Journal) -> None:
    async with hosts(journal, replace(LIMITED, connection_idle_s=30)) as there:
        await there.host("announcing.test", Announcing("MAILMAX=5 RCPTMAX=20", at_most=5))
        await sent(there, [addressed("announcing.test")])
        (state,) = await there.world.deliverer.sites("announcing.test")
        said = "at most 5 messages on a connection, 20 recipients in a transaction, says mx0.announcing.test"
        assert state.adjustments == (said,)


async def test_no_more_recipients_in_a_transaction_than_announced(journal: Journal) -> None:
    async with hosts(journal, LIMITED) as there:
        await there.host("announcing.test", peer := Announcing("rcptmax=10", at_most=100))
        await sent(there, [addressed("announcing.test", 25)])
        assert sorted(map(len, peer.recipients)) == [5, 10, 10]


async def test_no_more_domains_on_a_connection_than_announced(journal: Journal) -> None:
    settings = replace(LIMITED, connections_per_site=1)
    async with hosts(journal, settings) as there:
        await there.host("one.test", peer := Announcing("RCPTDOMAINMAX=1", at_most=100))
        for domain in ("two.test", "three.test"):
            there.world.dns.zone[domain, "MX"] = there.world.dns.zone["one.test", "MX"]
        names = [f"{user}@{domain}" for domain in ("one.test", "two.test", "three.test") for user in "abc"]
        await sent(there, [a_message(*names), a_message("d@two.test")])
        assert sorted(name for names in peer.recipients for name in names) == sorted([*names, "d@two.test"])
        assert all(len(domains) == 1 for domains in peer.domains.values())


@pytest.mark.parametrize("limits", ["MAILMAX=0", "RCPTMAX=x RCPTDOMAINMAX", "=", "MAILMAX=9999999 MAILMAX=-1"])
async def test_what_is_announced_wrongly_limits_nothing(journal: Journal, limits: str) -> None:
    async with hosts(journal, LIMITED) as there:
        await there.host("announcing.test", peer := Announcing(limits, at_most=100))
        await sent(there, [addressed("announcing.test", 3)])
        assert list(map(len, peer.recipients)) == [3]
