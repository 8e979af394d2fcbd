"""Held ports: other processes cannot bind them, and the actors that they are held for can."""

import asyncio
import socket
from contextlib import ExitStack

import pytest

from cluster.installation.ports import ANY_PORT, HeldPort, PortTaken
from cluster.settings import host_port


def test_who_is_meant_to_listens_there_again_and_again() -> None:
    held = HeldPort(ANY_PORT)
    for _ in range(2):
        with socket.create_server(host_port(held.bind)) as server, socket.create_connection(host_port(held.bind)):
            accepted, _ = server.accept()
            accepted.close()
    held.release()


async def test_an_event_loop_listens_there_too() -> None:
    held = HeldPort(ANY_PORT)
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, *host_port(held.bind))
    server.close()
    await server.wait_closed()
    held.release()


def test_several_processes_that_share_it_listen_there() -> None:
    held = HeldPort(ANY_PORT)
    with ExitStack() as stack:
        for _ in range(2):
            listener = stack.enter_context(socket.socket())
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                listener.setsockopt(socket.SOL_SOCKET, option, 1)
            listener.bind(host_port(held.bind))
            listener.listen()
    held.release()


def test_a_connection_of_somebody_else_cannot_begin_there_until_it_is_released() -> None:
    """This could happen to a port that was chosen and then closed."""
    held = HeldPort(ANY_PORT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.socket() as client, pytest.raises(OSError, match="in use"):
            client.bind(host_port(held.bind))
        held.release()
        with socket.socket() as client:
            client.bind(host_port(held.bind))
            client.connect(server.getsockname())


def test_one_that_somebody_listens_on_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        bind = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(PortTaken, match=f"{bind}: Address already in use"):
            HeldPort(bind)


def test_a_port_0_is_a_port_of_its_own_each_time() -> None:
    held = [HeldPort(ANY_PORT) for _ in range(200)]
    assert len({port.number for port in held}) == len(held)
    for port in held:
        port.release()


def test_it_is_free_when_nobody_has_it() -> None:
    bind = HeldPort(ANY_PORT).bind
    with socket.socket() as one:
        one.bind(host_port(bind))


def test_ipv6_stands_in_brackets() -> None:
    held = HeldPort("[::1]:0")
    assert held.bind == f"[::1]:{held.number}"
    held.release()


@pytest.mark.parametrize("bind", ["192.0.2.1:0", "no-such-host.invalid:0"])
def test_an_address_that_is_not_ours_is_named(bind: str) -> None:
    with pytest.raises(PortTaken, match=bind):
        HeldPort(bind)
