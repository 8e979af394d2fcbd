"""The table of checks, and how they are run: at the same time, within a bound.

Each check examines one thing and changes nothing. A check that needs a running part says so when the part does not run.
To add a check, write it and add it to ``CHECKS``; what follows from the facts it gathers belongs in
``cluster/doctor/judging``.
"""

import time
from collections.abc import Iterator, Mapping
from threading import Thread

from cluster.doctor import certificates, files, machine, names, outgoing, parts, secrets, stores
from cluster.doctor.findings import Check, Finding, Installation, problem, warning

CHECKS: dict[str, Check] = {
    "place": files.place,
    "modes": files.modes,
    "owners": files.owners,
    "sockets": files.sockets,
    "settings": files.settings_files,
    "leftovers": files.leftovers,
    "secrets": secrets.well_formed,
    "sealed": secrets.sealed,
    "ages": secrets.ages,
    "parts": parts.parts,
    "events": parts.damaged_events,
    "sql": parts.sql,
    "postgres": stores.postgres,
    "clickhouse": stores.clickhouse,
    "policies": names.policies,
    "sources": names.sources,
    "bounces": names.bounces,
    "resolver": names.resolver,
    "domains": names.domains,
    "paths": names.return_paths,
    "port": outgoing.hosts,
    "certificates": certificates.ends,
    "clock": machine.clock,
    "disk": machine.disk,
    "fsync": machine.disk_speed,
    "limits": machine.open_files,
    "memory": machine.memory,
}

MAX_WAIT_S = 60.0
"""For all checks together. Each of them is bounded by itself; this holds where the system does not answer, such as a
disk or a network file system that hangs."""


def examine(
    installation: Installation, checks: Mapping[str, Check] = CHECKS, max_wait_s: float = MAX_WAIT_S
) -> Iterator[tuple[str, Finding]]:
    """Every check's findings, with its name, in the order of the table."""
    if not installation.data_dir.exists():
        yield "data", warning(f"{installation.data_dir} is not there yet: postray up makes it")
        return
    ends_at = time.monotonic() + max_wait_s
    running = {name: _Running(check, installation) for name, check in checks.items()}
    for name, one in running.items():
        for finding in one.findings(max(0.0, ends_at - time.monotonic())):
            yield name, finding


class _Running:
    """A check in a thread of its own, which does not keep the process from ending."""

    def __init__(self, check: Check, installation: Installation) -> None:
        self._found: list[Finding] | None = None
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, args=(check, installation), daemon=True)
        self._thread.start()

    def _run(self, check: Check, installation: Installation) -> None:
        try:
            self._found = list(check(installation))
        except Exception as error:  # it is raised where the findings are asked for
            self._error = error

    def findings(self, max_wait_s: float) -> list[Finding]:
        """Raises what the check has raised."""
        self._thread.join(max_wait_s)
        if self._error is not None:
            raise self._error
        if self._found is None:
            return [problem("this has no answer: the system, such as its disk, does not answer in time")]
        return self._found
