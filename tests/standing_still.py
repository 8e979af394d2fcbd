"""A Postgres that stands still: connections stay open, new ones are taken by the system, and nothing is answered."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg


@contextmanager
def standing_still(dsn: str) -> Iterator[None]:
    """The server of a test session, on this machine, is suspended with all its processes until the end of the block."""
    with psycopg.connect(dsn) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).parent()
    assert postmaster is not None and postmaster.name() == "postgres"
    postmaster.send_signal(signal.SIGSTOP)  # first: from now on it starts no other process
    processes = [postmaster, *postmaster.children(recursive=True)]
    try:
        _signal(processes, signal.SIGSTOP)
        yield
    finally:
        _signal(processes, signal.SIGCONT)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # the backend of the connection above may just end
            process.send_signal(number)
