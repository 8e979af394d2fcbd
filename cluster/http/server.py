"""Serving an ASGI application on a socket, in the running event loop: uvicorn with limits on connections.

The API and the page of captured mail use it. It never installs signal handlers, configures logging or exits.
"""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Callable, Iterator, Set
from typing import Any

import psutil
import uvicorn
from msgspec.structs import replace

from cluster.http.accepting import Acceptor
from cluster.http.connections import ConnectionBounds, Connections, Seat, affordable
from cluster.http.ending import AT_ONCE, Ending
from cluster.http.protocol import HttpProtocol
from cluster.http.turns import ConnectionTurns
from cluster.listening import bound
from cluster.metrics import Counter, Gauge
from cluster.policy.routes.host_names import host_port, joined

log = logging.getLogger(__name__)

LOOK_S = 0.01
"""How often a stop looks whether they have finished."""
DATE_S = 1.0
"""How often the answers' Date is renewed; it counts in seconds."""


class CannotStart(Exception):
    """The application refused to start; the log has the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class HttpServer:
    """Serves one application from ``start`` to ``stop``."""

    def __init__(self, app: Any, bounds: ConnectionBounds, *, health: Set[bytes] = frozenset()) -> None:
        """``app``: an ASGI application. ``bounds``: limits on connections, lowered to what the process has descriptors
        for. ``health``: paths that are answered even when all connections are in use."""
        self._app = app
        self._bounds = bounds
        self._health = health
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def listen(self, bind: str) -> str:
        """Start at the host:port of a setting, where other processes of this machine may listen as well; returns the
        URL. Raises OSError, CannotStart."""
        address, port = await self.start(*host_port(bind), shared=True)
        return f"http://{joined(address, port)}"

    async def start(self, host: str, port: int, *, shared: bool = False) -> tuple[str, int]:
        """Listen; returns the address and port. ``shared``: several processes of this machine may listen there, and the
        kernel distributes connections. Raises OSError when the address is not available, CannotStart when the
        application does not start."""
        listener = bound(host, port, shared=shared)
        config = uvicorn.Config(
            self._app,
            http="httptools",
            interface="asgi3",  # the guess would take a callable that returns an awaitable for ASGI 2
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # the client's address is not used
            server_header=False,
        )
        self._server = _Server(config, listener, self._affordable(), self._health)
        self._serving = asyncio.create_task(self._server.serve(sockets=[]), name="http-server")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait((self._serving, listening), return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            listener.close()
            self._serving.result()  # raises the error
            raise CannotStart("the server ended at once")
        address, port = listener.getsockname()[:2]
        return address, port

    def running(self) -> bool:
        """Whether the server is running."""
        return self._serving is not None and not self._serving.done()

    def refuse(self, ending: Ending = AT_ONCE) -> None:
        """Begin to end: accept no more connections. The application goes on until ``stop``, which follows."""
        if self._server is not None:
            self._server.ask_to_stop(ending)

    async def stop(self, ending: Ending = AT_ONCE) -> None:
        """Accept no more connections, let requests in progress finish, and end. A second call may end it sooner."""
        server, serving = self._server, self._serving
        if server is None or serving is None:
            return
        server.ask_to_stop(ending)
        server.may_leave.set()
        most_s = server.grace_left_s() + ending.leaving_s
        done, _ = await asyncio.wait((serving,), timeout=most_s)
        if not done:
            log.warning("stop took more than %g s; cut off", most_s)
            server.force_exit = True
            serving.cancel()
            await asyncio.wait((serving,), timeout=1)
        server.cut_off()
        self._server = None
        self._serving = None

    def _affordable(self) -> ConnectionBounds:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self._bounds.connections
        allowed = affordable(wanted, descriptors=descriptors, used=psutil.Process().num_fds())
        if allowed < wanted:
            log.warning("only %d connections of %d: the process may open %d files", allowed, wanted, descriptors)
        return replace(self._bounds, connections=allowed)


class _Server(uvicorn.Server):
    """uvicorn without five habits of a main program: signal handlers, exiting the process, polling at the start,
    waking up ten times a second, and accepting any number of connections."""

    connections = Gauge(
        "postray_http_connections", "HTTP connections open now.", lambda server: len(server._connections)
    )
    requests = Counter(
        "postray_http_requests_total", "HTTP requests answered.", lambda server: server.server_state.total_requests
    )

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, bounds: ConnectionBounds, health: Set[bytes]
    ) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.may_leave = asyncio.Event()
        """Set when the application may end."""
        self._asked_to_stop = asyncio.Event()
        self._ending = AT_ONCE
        self._ends_since = 0.0
        """The loop time when it was first asked to stop."""
        self._listener = listener
        self._connections = Connections(bounds)
        self._health = health
        self._acceptor: Acceptor | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise CannotStart("the application did not start") from None
        self._turns = ConnectionTurns(asyncio.get_running_loop())
        self._acceptor = Acceptor(self._listener, self._connections, self._protocol)
        self.listening.set()

    def ask_to_stop(self, ending: Ending) -> None:
        if not self.should_exit:
            self._ends_since = asyncio.get_running_loop().time()
        self._ending = ending
        self.should_exit = True
        self._asked_to_stop.set()

    def grace_left_s(self) -> float:
        """For how long requests in progress may still go on."""
        since_s = asyncio.get_running_loop().time() - self._ends_since
        return max(0.0, self._ending.grace_s - since_s)

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # keeps the Date header
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_S):
                    await self._asked_to_stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state, clock = self.server_state, asyncio.get_running_loop().time
        acceptor = self._acceptor
        assert acceptor is not None
        self._connections.is_ending = True
        acceptor.refuse()
        self._shut(lambda connection: connection.is_answering)
        is_listening, is_quiet = True, False
        while is_listening or acceptor.is_opening or state.connections or state.tasks:
            since_s, ending = clock() - self._ends_since, self._ending
            if is_listening and since_s >= ending.listens_s:
                acceptor.close()
                is_listening = False
            if not is_quiet and since_s >= ending.quiet_s:
                self._shut(lambda connection: True)
                is_quiet = True
            if self.force_exit or since_s >= ending.grace_s:
                log.warning("stop cuts off requests in progress count=%d", len(state.tasks))
                for task in state.tasks:
                    task.cancel()
                break
            await asyncio.sleep(LOOK_S)
        await self.may_leave.wait()
        if not self.force_exit:
            await self.lifespan.shutdown()

    def _shut(self, which: Callable[[HttpProtocol], bool]) -> None:
        """Close connections, or have them closed after the answer that is in progress."""
        for connection in list(self.server_state.connections):
            assert isinstance(connection, HttpProtocol)
            if which(connection):
                connection.shutdown()

    def cut_off(self) -> None:
        """Abort the remaining connections."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _protocol(self, seat: Seat) -> HttpProtocol:
        return HttpProtocol(
            self.config,
            self.server_state,
            self.lifespan.state,
            asyncio.get_running_loop(),
            seat=seat,
            connections=self._connections,
            turns=self._turns,
            health=self._health,
        )
