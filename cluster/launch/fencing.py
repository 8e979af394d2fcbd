"""The fence of a process there is one of in a cluster (cluster/journal/fence.py): taking it as the process starts, and
ending the process that finds itself fenced."""

import logging
import os
import socket
import threading
from typing import NoReturn

from cluster.context import Context
from cluster.journal.fence import Fence, Fenced
from cluster.journal.journal import Journal
from cluster.policy.placement import kind_of
from cluster.topology import SPECS

log = logging.getLogger(__name__)

EXIT_FENCED = 69  # EX_UNAVAILABLE of sysexits.h
TELL_S = 2.0


async def fence_of(context: Context) -> Fence | None:
    """The fence of this process, from now on the only one of its kind that may write; None where there may be several.
    Raises Unavailable."""
    kind = kind_of(context.name)
    if SPECS[kind].per != "cluster":
        return None
    journal = Journal(context.postgres_dsn, application=f"{context.name}-epoch", connections=1)
    await journal.open()
    try:
        epoch = await journal.singletons.begin(kind, socket.gethostname(), os.getpid())
    finally:
        await journal.close()
    log.info("begun kind=%s epoch=%d", kind, epoch)
    return Fence(kind=kind, epoch=epoch, on_fenced=end_for_good)


def end_for_good(fenced: Fenced) -> NoReturn:
    """End this process at once. Ray does not start it again: as the latest it would fence the one that works."""
    log.critical("ending for good pid=%d: %s", os.getpid(), fenced)
    logging.shutdown()
    telling = threading.Thread(target=_tell_ray, daemon=True)
    telling.start()
    telling.join(TELL_S)  # the control service may be out of reach; then it does not start anything either
    os._exit(EXIT_FENCED)


def _tell_ray() -> None:
    import ray

    if ray.is_initialized():
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)
