"""Ports that are kept for the actors that listen on them, while those start, die and come again.

A port that nobody is bound to can become the near end of anybody's outgoing connection, and cannot be listened on as
long as that lasts. A bound socket that does not listen keeps its port from that, and, since it allows to be shared,
out of nobody's way who listens there on purpose. Linux; socket(7), SO_REUSEADDR and SO_REUSEPORT.
"""

import socket
import weakref

from cluster.settings import host_port

ANY_PORT = "127.0.0.1:0"
"""A free one of loopback."""


class PortTaken(Exception):
    """Somebody else listens there, or the address is not one of this machine; the message says which address."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)

    def __str__(self) -> str:
        address, reason = self.args
        return f"{address}: {reason}"


class HeldPort:
    """A port of this machine, from its making to ``release``, or until nobody has this object."""

    def __init__(self, bind: str) -> None:
        """``bind``: host:port; port 0 takes a free one. Raises PortTaken."""
        host, port = host_port(bind)
        try:
            holder = _bound(host, port)
        except OSError as error:
            raise PortTaken(bind, error.strerror or str(error)) from error
        self.number: int = holder.getsockname()[1]
        self.bind = f"[{host}]:{self.number}" if ":" in host else f"{host}:{self.number}"
        """host:port, the port real."""
        self._close = weakref.finalize(self, holder.close)

    def release(self) -> None:
        """Let others have it. Again: nothing."""
        self._close()


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    holder = socket.socket(family, kind, protocol)
    try:
        if port:
            # Connections that a former life had are no hindrance.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A free one is taken before sharing is allowed, so that no two holders get the same.
        holder.bind(address)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            holder.setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError:
        holder.close()
        raise
    return holder
