"""What ``postray up`` does on SIGHUP: it puts changed policies in force, or stops where its terminal is gone.

Certificates need no signal: each server looks at its files every few seconds (cluster/smtpd/reloading.py).
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

import click

from cluster.installation.private_files import Unsafe

log = logging.getLogger(__name__)


class HangUp:
    """A handler of the signal. The reload runs in a thread of its own: it asks the API, which may be what the main
    thread is just bringing back."""

    def __init__(self, reload: Callable[[], str], told: Callable[[str], None], stop: Callable[[], None]) -> None:
        """``reload`` returns what came of it, in words, or raises click.ClickException, Unsafe. ``told`` is called with
        that. ``stop`` begins an orderly stop."""
        self._reload = reload
        self._told = told
        self._stop = stop
        self._had_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._asked = SimpleQueue[None]()  # one signal may come while the handler of another runs
        threading.Thread(target=self._run, daemon=True, name="reload").start()

    def __call__(self, *_: object) -> None:
        if self._had_terminal and not os.isatty(sys.stdin.fileno()):
            _print_nowhere()
            self._stop()
        else:
            self._asked.put(None)

    def _run(self) -> None:
        while True:
            self._asked.get()
            while not self._asked.empty():  # one that comes from now on may be about files that are not read yet
                self._asked.get()
            try:
                said = self._reload()
                log.info("reloaded: %s", said)
            except (click.ClickException, Unsafe) as error:
                said = f"not reloaded: {getattr(error, 'message', error)}"
                log.error("%s", said)
            self._told(said)


def _print_nowhere() -> None:
    """What is printed to a terminal that is gone would fail, and with it the stop."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
