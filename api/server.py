"""The HTTP server of one API process: a socket of its own, and uvicorn in the event loop that runs already.

Called by whoever hosts it. Never does: open or close the journal (it is its owner's), install signal handlers,
configure logging.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from functools import partial

import uvicorn

from analytics.dropping import tell_cancelled
from api.admin.routes import Admin
from api.app import create_app
from api.backpressure import Refusal, always_open
from api.health import Readiness
from api.intake import Intake, Offers
from api.large.requests import Large
from api.messages import Timeline
from api.unread import UnreadBodies
from cluster.journal.store import Journal
from cluster.settings import DEFAULT_LIMITS, HttpSettings, MessageSettings, host_port

log = logging.getLogger(__name__)

STOP_PATIENCE_S = 5.0
GRACE_S = 3
"""Of which requests in progress have this long to finish."""
KEEP_ALIVE_S = 60
"""Clients keep connections in pools, and meet a reset when the server is the quicker to close them."""
BACKLOG = 2048


class CannotStart(Exception):
    """The application refused to start; the log says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class _Server(uvicorn.Server):
    """uvicorn, but for three habits of a main program: signal handlers, exiting the process, and polling to start."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise CannotStart("the application did not start") from None
        self.listening.set()


class ApiServer:
    """Serves the application from ``start`` to ``stop``."""

    def __init__(
        self,
        settings: HttpSettings,
        *,
        journal: Journal,
        lifetime_s: float,
        offers: Offers,
        large: Large,
        timeline: Timeline,
        readiness: Readiness,
        limits: MessageSettings = DEFAULT_LIMITS,
        refusal: Refusal = always_open,
        admin: Admin | None = None,
    ) -> None:
        """``lifetime_s`` is delivery.lifetime_s; ``offers`` is called with what was committed, see Intake; ``large``
        takes large requests; ``refusal`` says why nothing is taken while the system is full; ``admin`` is what
        operators may do."""
        self._bind = settings.bind
        intake = Intake(
            partial(journal.accept, tell=tell_cancelled),
            commit_window_ms=settings.commit_window_ms,
            offers=offers,
            refusal=refusal,
        )
        app = create_app(
            settings,
            journal=journal,
            intake=intake,
            large=large,
            timeline=timeline,
            readiness=readiness,
            lifetime_s=lifetime_s,
            limits=limits,
            admin=admin,
        )
        self._app = UnreadBodies(app, settings.max_body_bytes)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen; the base URL, with the port that was taken. Raises OSError when the address is not to be had,
        CannotStart."""
        host, port = host_port(self._bind)
        listener = _listen(host, port)
        config = uvicorn.Config(
            self._app,
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # nobody asks for the client's address
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http-server")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait((self._serving, listening), return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            listener.close()
            self._serving.result()  # raises what went wrong
            raise CannotStart("the server ended at once")
        address, port = listener.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        url = f"http://{shown}:{port}"
        log.info("listening url=%s", url)
        return url

    async def health(self) -> bool:
        """Whether it serves."""
        return self._serving is not None and not self._serving.done()

    async def stop(self) -> None:
        """Take no more connections, let requests in progress finish, and end within 5 s."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait((self._serving,), timeout=STOP_PATIENCE_S)
        if not done:
            log.warning("stop took more than %g s; cut off", STOP_PATIENCE_S)
            self._server.force_exit = True
            self._serving.cancel()
            await asyncio.wait((self._serving,), timeout=1)
        self._server = None
        self._serving = None


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # A restart must not wait for the old connections' TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Several API processes of one machine share the port, and the kernel spreads the connections.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
