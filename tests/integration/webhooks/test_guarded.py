"""Which addresses of endpoints are connected to."""

import asyncio

import pytest
from dnslib import AAAA, A

from tests.integration.dns_server import DnsServer
from tests.integration.webhooks.client_world import NAME, Handler, a_client, raw, request_of

PRIVATE_HOSTS = (
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1"),
    *("192.168.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255", "localhost", "a.localhost"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:0:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
    *("[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[fe80::1]", "[fc00::1]"),
    *("[fec0::1]", "[ff02::1]", "[fe80::1%25lo]"),
)
ODD_SPELLINGS = (
    *("0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "0x7f.0.0.0x1"),
    *(
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "\u2460\u2461\u2466.0.0.1",
        "0000127.0.0.1",
        "017700000001",
    ),
)


@pytest.mark.parametrize("host", [*PRIVATE_HOSTS, *ODD_SPELLINGS])
async def test_no_spelling_of_a_private_address_is_connected_to(host: str) -> None:
    connections = 0

    async def count(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1

    async with raw(count, "0.0.0.0") as port, a_client() as world:
        assert await world.error(f"http://{host}:{port}/")
    assert connections == 0


async def test_the_error_names_the_setting() -> None:
    async with a_client() as world:
        error = await world.error("http://10.1.2.3/")
    assert error == "cannot connect: 10.1.2.3 is not public (private), and not in webhooks.allow_networks"


async def test_a_name_that_changes_its_address_is_checked_at_each_connection(dns: DnsServer) -> None:
    """DNS rebinding: 127.0.0.2 is an allowed address here, 127.0.0.1 a private one."""
    at: list[str] = []

    def answering_as(host: str) -> Handler:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            at.append(host)
            await request_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        return answer

    dns.zone[NAME, "A"] = [A("127.0.0.2")]
    async with (
        raw(answering_as("public"), "127.0.0.2") as port,
        raw(answering_as("private"), "127.0.0.1", port),
        a_client("127.0.0.2/32", dns_port=dns.port) as world,
    ):
        url = f"http://{NAME}:{port}/"
        assert (await world.post(url)).result.is_taken
        dns.zone[NAME, "A"] = [A("127.0.0.1")]
        world.clock.now += 86_400  # the answer is asked for again
        assert "127.0.0.1 is not public (loopback)" in await world.error(url)
        dns.zone[NAME, "AAAA"] = [AAAA("::ffff:7f00:1"), AAAA("::1")]
        world.clock.now += 86_400
        assert "is not public (loopback)" in await world.error(url)
        # Of several addresses the private ones are left out.
        dns.zone[NAME, "A"] = [A("127.0.0.1"), A("127.0.0.2")]
        world.clock.now += 86_400
        for _ in range(5):
            assert (await world.post(url)).result.is_taken
    assert at == ["public"] * 6


async def test_a_name_without_an_address(dns: DnsServer) -> None:
    async with a_client(dns_port=dns.port) as world:
        assert await world.error("http://nowhere.example.test/") == (
            "cannot connect: nowhere.example.test has no address in the DNS"
        )
    async with a_client() as world:
        assert "the DNS does not answer" in await world.error("http://nowhere.example.test/")
