"""Ports that are reserved for the actors that listen on them, while those start, die and restart.

An unbound port can become the local end of any outgoing connection, and then cannot be listened on while that
lasts. A bound socket that does not listen prevents this. It allows sharing, so it does not block the actor that listens
there. Linux; socket(7), SO_REUSEADDR and SO_REUSEPORT.
"""

import socket
import weakref

from cluster.policy.routes.host_names import host_port, joined

ANY_PORT = "127.0.0.1:0"
"""A free port on loopback."""


class PortTaken(Exception):
    """Another process listens there, or the address is not one of this machine; the message names the address."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)

    def __str__(self) -> str:
        address, reason = self.args
        return f"{address}: {reason}"


class HeldPort:
    """A port of this machine, reserved until ``release`` or until this object is garbage-collected."""

    def __init__(self, bind: str) -> None:
        """``bind``: host:port; port 0 takes a free one. Raises PortTaken when it cannot be bound."""
        host, port = host_port(bind)
        try:
            holder = _bound(host, port)
        except OSError as error:
            raise PortTaken(bind, error.strerror or str(error)) from error
        self.number: int = holder.getsockname()[1]
        self.bind = joined(host, self.number)
        """host:port, with the actual port."""
        self._close = weakref.finalize(self, holder.close)

    def release(self) -> None:
        """Free the port. Further calls do nothing."""
        self._close()


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    holder = socket.socket(family, kind, protocol)
    try:
        if port:
            # Connections of an earlier process do not prevent binding.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A free port is bound before sharing is allowed, so that two holders do not get the same one.
        holder.bind(address)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            holder.setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError:
        holder.close()
        raise
    return holder
