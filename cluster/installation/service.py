"""Tells the service manager that started postray how it is: sd_notify(3), for systemd's Type=notify."""

import logging
import os
import socket
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

VARIABLE = "NOTIFY_SOCKET"


class Service:
    """What is told goes nowhere without a manager that listens."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        """The variable is taken out of the environment: none of the processes that we start is the service."""
        address = environ.pop(VARIABLE, "")
        # An address that begins with @ is in Linux's abstract namespace, which the kernel spells with a NUL.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def starting(self, part: str) -> None:
        """A part runs, and the start goes on."""
        self._tell(f"STATUS=starting: {part} runs")

    def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._tell(f"STATUS={status}")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.setblocking(False)
                manager.sendto(text.encode(), self._address)
        except OSError as error:
            # The service works without it, and the manager says by itself what it misses.
            log.warning("the service manager was not told %r: %s", text, error)
