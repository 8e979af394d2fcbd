"""The socket of a server: bound, and not blocking."""

import socket


def bound(host: str, port: int, *, shared: bool) -> socket.socket:
    """``shared``: several processes of this machine may listen there, and the kernel spreads the connections. Raises
    OSError when the address is not available."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # A restart must not wait for the TIME_WAIT of old connections.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
