"""Opening a connection: which host, which address, and when to give up."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from msgspec.structs import replace

from actors.delivery.connector import KNOWN_HOSTS, KNOWN_S, MAX_TRIES, SHOWN_S, Connector, Crowded
from actors.delivery.discarding import DiscardConnection
from actors.delivery.job import Connection, NoRoute
from actors.delivery.tls_dialer import TlsDialer
from actors.smtp.client import SmtpConnection
from actors.smtp.protocol import ConnectError
from actors.smtp.share import Share
from cluster.lookup.resolver import Resolver
from cluster.policy.limits.connections import FIRST_DEAD_S
from cluster.policy.limits.session import UNLIMITED, SessionLimits
from cluster.policy.replies.stage import Stage
from cluster.policy.routes import mx
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.mx import MailHost
from cluster.policy.routes.next_hop import Credentials, NextHop
from cluster.policy.routes.routing import Source, Via
from cluster.policy.tls.policy import DomainTls
from cluster.settings import SmtpSettings
from tests.unit.virtual_time import in_virtual_time

PLACE = Destination("example.com")
ANY = Source(name="")
HOP = NextHop(Via.DIRECT, tuple(MailHost(10 * number, f"mx{number}") for number in (1, 2, 3)))


class Opened(SmtpConnection):
    """A connection without behaviour."""

    def __init__(self, host: str, address: str) -> None:
        self.host, self.address = host, address
        self.tls_version = "TLSv1.3"
        self.transactions = 0
        self.share = Share()


class Hosts:
    """The DNS and the hosts: addresses of each host, and which of them are down."""

    def __init__(self, answers: Mapping[str, mx.HostAddresses | list[str]], down: set[str] | None = None) -> None:
        self.answers = answers
        self.down = down or set()
        self.stage = Stage.CONNECT
        self.tried: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.given: dict[str, Any] = {}
        self.passed_over: list[ConnectError] = []
        self.ehlo = b""
        self.connector = Connector(
            cast(Resolver, self), cast(TlsDialer, self), SmtpSettings(), "us.example", random=lambda: 0.0
        )

    async def mx_addresses(self, name: str) -> mx.HostAddresses:
        return self._answer("mx", name)

    async def addresses(self, name: str) -> mx.HostAddresses:
        return self._answer("host", name)

    def _answer(self, kind: str, name: str) -> mx.HostAddresses:
        self.asked.append((kind, name))
        answer = self.answers[name]
        return mx.Addresses(tuple(answer)) if isinstance(answer, list) else answer

    async def open(self, host: str, address: str, port: int, domain_tls: DomainTls, **others: Any) -> SmtpConnection:
        self.tried.append(address)
        self.given = {"host": host, "port": port, "tls": domain_tls, **others}
        await asyncio.sleep(0)
        if address in self.down:
            raise ConnectError(self.stage, f"{address} refused")
        opened = Opened(host, address)
        opened.ehlo = self.ehlo
        return opened

    async def connect(self, hop: NextHop = HOP, source: Source = ANY, per_address: int = 0) -> Connection:
        return await self.connector.connect(
            hop,
            "example.com",
            source,
            place=PLACE,
            per_address=per_address,
            observe=None,
            passed_over=self.passed_over.append,
        )


THREE = {"mx1": ["192.0.2.1", "192.0.2.2"], "mx2": ["192.0.2.3"], "mx3": ["192.0.2.4"]}


@in_virtual_time
async def test_hosts_are_tried_in_the_order_of_preference_and_not_asked_for_before() -> None:
    hosts = Hosts(THREE)
    connection = await hosts.connect()
    assert (connection.host, connection.address) == ("mx1", "192.0.2.1")
    assert hosts.asked == [("mx", "mx1")]
    hosts.down = {"192.0.2.1", "192.0.2.2"}
    connection = await hosts.connect()
    assert (connection.host, hosts.tried) == ("mx2", ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"])
    assert [failure.reason for failure in hosts.passed_over] == ["192.0.2.1 refused", "192.0.2.2 refused"]


@in_virtual_time
async def test_when_all_fail_the_last_failure_is_told_and_the_others_passed_over() -> None:
    hosts = Hosts(THREE, down={f"192.0.2.{number}" for number in range(1, 5)})
    with pytest.raises(ConnectError, match=r"192\.0\.2\.4 refused"):
        await hosts.connect()
    assert len(hosts.passed_over) == 3


@in_virtual_time
async def test_what_was_dead_a_moment_ago_comes_last_and_is_tried_all_the_same() -> None:
    hosts = Hosts(THREE, down={"192.0.2.1"})
    await hosts.connect()
    hosts.tried.clear()
    assert (await hosts.connect()).address == "192.0.2.2"
    assert hosts.tried == ["192.0.2.2"]
    hosts.down = {"192.0.2.2", "192.0.2.3", "192.0.2.4"}
    assert (await hosts.connect()).address == "192.0.2.1"
    await asyncio.sleep(FIRST_DEAD_S + 1)
    hosts.tried.clear()
    await hosts.connect()
    assert hosts.tried == ["192.0.2.1"]


@in_virtual_time
async def test_an_address_is_not_dead_for_what_one_domain_asks_of_its_tls() -> None:
    hosts = Hosts({"mx1": ["192.0.2.1"], "mx2": ["192.0.2.3"], "mx3": ["192.0.2.4"]}, down={"192.0.2.1"})
    hosts.stage = Stage.TLS
    await hosts.connect()
    hosts.down.clear()
    assert (await hosts.connect()).address == "192.0.2.1"


@in_virtual_time
async def test_a_connection_that_the_host_broke_off_makes_its_address_dead_until_it_works_again() -> None:
    hosts = Hosts(THREE)
    first = await hosts.connect()
    hosts.connector.closed(first, PLACE, lost=True)
    second = await hosts.connect()
    assert second.address == "192.0.2.2"
    again = Opened("mx1", "192.0.2.1")
    again.source = ""
    again.transactions = 1
    await hosts.connect(per_address=1)
    hosts.connector.closed(second, PLACE, lost=False)
    assert (await hosts.connect()).address != "192.0.2.1"


@in_virtual_time
async def test_an_address_has_only_so_many_connections_and_then_the_next_takes_them() -> None:
    hosts = Hosts(THREE)
    opened = [await hosts.connect(per_address=2) for _ in range(8)]
    assert [connection.address[-1] for connection in opened] == list("11223344")
    with pytest.raises(Crowded):
        await hosts.connect(per_address=2)
    hosts.connector.closed(opened[5], PLACE, lost=False)
    assert (await hosts.connect(per_address=2)).address == "192.0.2.3"


@in_virtual_time
async def test_the_limit_of_an_address_holds_while_connections_are_being_opened() -> None:
    hosts = Hosts(THREE)
    opened = await asyncio.gather(*(hosts.connect(per_address=1) for _ in range(4)))
    assert sorted(connection.address for connection in opened) == [f"192.0.2.{number}" for number in range(1, 5)]


@in_virtual_time
async def test_a_failed_attempt_takes_no_place() -> None:
    hosts = Hosts({"mx1": ["192.0.2.1"]}, down={"192.0.2.1"})
    hop = NextHop(Via.DIRECT, HOP.hosts[:1])
    for _ in range(3):
        with pytest.raises(ConnectError):
            await hosts.connect(hop, per_address=1)
    hosts.down.clear()
    assert (await hosts.connect(hop, per_address=1)).address == "192.0.2.1"


@in_virtual_time
async def test_being_crowded_hides_no_failure() -> None:
    hosts = Hosts({"mx1": ["192.0.2.1"], "mx2": ["192.0.2.3"], "mx3": ["192.0.2.4"]})
    await hosts.connect(per_address=1)
    hosts.down = {"192.0.2.3", "192.0.2.4"}
    with pytest.raises(Crowded):
        await hosts.connect(per_address=1)
    assert [failure.reason for failure in hosts.passed_over] == ["192.0.2.3 refused", "192.0.2.4 refused"]


@in_virtual_time
async def test_a_host_that_is_ourselves_ends_the_walk() -> None:
    hosts = Hosts({"mx1": ["192.0.2.1"], "mx2": mx.Unroutable(mx.NoMail.LOOP, "mx2"), "mx3": ["192.0.2.4"]})
    hosts.down = {"192.0.2.1"}
    with pytest.raises(ConnectError):
        await hosts.connect()
    assert ("mx", "mx3") not in hosts.asked
    hop = NextHop(Via.DIRECT, HOP.hosts[1:])
    with pytest.raises(NoRoute) as caught:
        await hosts.connect(hop)
    assert (caught.value.permanent, caught.value.reason) == (True, "mx2: loops back to us")


@in_virtual_time
async def test_what_can_be_otherwise_later_is_told_over_what_cannot() -> None:
    gone = mx.Unroutable(mx.NoMail.NO_ADDRESS, "mx")
    hosts = Hosts({"mx1": gone, "mx2": mx.UnresolvedHosts("mx2", "timeout"), "mx3": gone})
    with pytest.raises(NoRoute) as caught:
        await hosts.connect()
    assert not caught.value.permanent
    hosts = Hosts(dict.fromkeys(("mx1", "mx2", "mx3"), gone))
    with pytest.raises(NoRoute) as caught:
        await hosts.connect()
    assert caught.value.permanent


@in_virtual_time
async def test_only_so_many_addresses_are_tried() -> None:
    many = [f"192.0.2.{number}" for number in range(1, 30)]
    hosts = Hosts({"mx1": many, "mx2": many, "mx3": many}, down=set(many))
    with pytest.raises(ConnectError):
        await hosts.connect()
    assert len(hosts.tried) == MAX_TRIES


@in_virtual_time
async def test_a_source_is_bound_and_goes_only_where_its_family_goes() -> None:
    hosts = Hosts({"mx1": ["2001:db8::1", "192.0.2.1"], "mx2": ["2001:db8::2"], "mx3": ["2001:db8::3"]})
    source = Source(name="a", address="198.51.100.7", helo_name="out.example")
    connection = await hosts.connect(source=source)
    assert (connection.address, connection.source) == ("192.0.2.1", "a")
    assert (hosts.given["source_address"], hosts.given["helo_name"]) == ("198.51.100.7", "out.example")
    with pytest.raises(NoRoute) as caught:
        await hosts.connect(NextHop(Via.DIRECT, HOP.hosts[1:]), source)
    assert not caught.value.permanent
    await hosts.connect(NextHop(Via.DIRECT, HOP.hosts[1:]))
    assert (hosts.given["source_address"], hosts.given["helo_name"]) == (None, "us.example")


@in_virtual_time
async def test_what_is_dead_from_one_source_is_not_from_another() -> None:
    hosts = Hosts(THREE, down={"192.0.2.1"})
    await hosts.connect(source=Source(name="a", address="198.51.100.7"))
    hosts.down.clear()
    assert (await hosts.connect(source=Source(name="b", address="198.51.100.8"))).address == "192.0.2.1"


@in_virtual_time
async def test_a_relay_is_a_host_by_its_name_with_port_and_password() -> None:
    hosts = Hosts({"smart": ["192.0.2.9"]})
    hop = NextHop(Via.RELAY, (MailHost(0, "smart"),), 587, DomainTls(), Credentials("user", "secret"))
    await hosts.connect(hop)
    assert hosts.asked == [("host", "smart")]
    assert (hosts.given["port"], hosts.given["credentials"]) == (587, hop.credentials)


@in_virtual_time
async def test_every_other_address_is_an_alternative() -> None:
    hosts = Hosts({"mx1": ["192.0.2.1", "192.0.2.2", "2001:db8::1"]})
    assert (await hosts.connect(NextHop(Via.DIRECT, HOP.hosts[:1]))).alternatives == 2
    assert (await Hosts(THREE).connect()).alternatives >= 2
    assert (await Hosts({"mx1": ["192.0.2.1"]}).connect(NextHop(Via.DIRECT, HOP.hosts[:1]))).alternatives == 0


@in_virtual_time
async def test_discarding_asks_no_host() -> None:
    hosts = Hosts({})
    connection = await hosts.connect(NextHop(Via.DISCARD))
    assert isinstance(connection, DiscardConnection)
    hosts.connector.closed(connection, PLACE, lost=False)
    assert not hosts.asked


@in_virtual_time
async def test_bdat_is_known_of_one_machine_for_a_day() -> None:
    """A machine is identified by its address, port, source address and EHLO response."""
    hosts = Hosts({"mx1": ["192.0.2.1"], "mx2": ["192.0.2.1"]})
    one = NextHop(Via.DIRECT, (MailHost(10, "mx1"),))

    async def takes_bdat(hop: NextHop = one, source: Source = ANY, ehlo: bytes = b"") -> bool:
        hosts.ehlo = ehlo
        return cast(SmtpConnection, await hosts.connect(hop, source)).takes_bdat

    assert not await takes_bdat()
    first = cast(SmtpConnection, await hosts.connect(one))
    first.shown(True)
    assert await takes_bdat()
    assert not await takes_bdat(ehlo=b"another")
    assert not await takes_bdat(replace(one, port=2525))
    assert not await takes_bdat(replace(one, hosts=(MailHost(10, "mx2"),)))
    assert not await takes_bdat(source=Source(name="a", address="198.51.100.1"))
    hosts.answers = {"mx1": ["192.0.2.9"]}
    assert not await takes_bdat()
    hosts.answers = THREE
    assert await takes_bdat()
    await asyncio.sleep(KNOWN_S + 1)
    assert not await takes_bdat()
    first.shown(True)
    first.shown(False)
    assert not await takes_bdat()


@in_virtual_time
async def test_hosts_that_have_put_the_mail_off_are_tried_last() -> None:
    hosts = Hosts({"mx1": ["1"], "mx2": ["2"], "mx3": ["3"]}, down={"2", "3"})
    await hosts.connect(HOP.beginning_after(("mx2", "mx1")))
    assert hosts.tried == ["3", "2", "1"]


@in_virtual_time
async def test_what_comes_after_ourselves_stays_left_out_whatever_the_order() -> None:
    ours = mx.Unroutable(mx.NoMail.LOOP, "mx2")
    hosts = Hosts({"mx1": ["1"], "mx2": ours, "mx3": ["3"]})
    await hosts.connect(HOP.beginning_after(("mx1",)))
    assert hosts.tried == ["1"]


@in_virtual_time
async def test_what_a_host_has_shown_of_its_connections_holds_for_the_next_for_a_while() -> None:
    hosts = Hosts(THREE)
    connection = await hosts.connect()
    hosts.connector.taught(connection, SessionLimits(messages=10))
    hosts.connector.taught(connection, SessionLimits(recipients=20))
    assert (await hosts.connect()).share.limits == SessionLimits(messages=10, recipients=20)
    assert (await hosts.connect(source=Source(name="other"))).share.limits is UNLIMITED
    hosts.down = {"192.0.2.1", "192.0.2.2"}
    assert (await hosts.connect()).share.limits is UNLIMITED, "another host"
    hosts.down = set()
    await asyncio.sleep(max(SHOWN_S, FIRST_DEAD_S) + 1)
    assert (await hosts.connect()).share.limits is UNLIMITED


@in_virtual_time
async def test_what_hosts_have_shown_is_bounded() -> None:
    hosts = Hosts(THREE)
    for number in range(KNOWN_HOSTS + 10):
        connection = Opened(f"mx{number}.example", "192.0.2.1")
        connection.source = ""
        hosts.connector.taught(connection, SessionLimits(messages=1))
    assert len(hosts.connector.carried) == KNOWN_HOSTS
