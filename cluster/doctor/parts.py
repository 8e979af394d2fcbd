"""Checks of a running postray's parts, and of what ClickHouse holds."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from cluster.context import keeps_from_work
from cluster.doctor.findings import Finding, Installation, ok, problem, warning
from cluster.doctor.reading import look_above
from cluster.installation import confinement

ANSWER_S = 5.0

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy from the environment cannot reach what runs here."""


def parts(installation: Installation) -> Iterator[Finding]:
    """The state of the parts of a running postray."""
    run = installation.run
    if run is None:
        yield ok("postray does not run here")
        return
    try:
        with _direct.open(f"{run.url}/readyz", timeout=ANSWER_S) as answer:
            body: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    except (OSError, ValueError) as error:
        yield problem(f"postray runs (pid {run.pid}) and does not answer at {run.url}: {error}; see its logs")
        return
    for part, state in body["parts"].items():
        if state != "ok":
            finding = problem if keeps_from_work(state) else warning
            yield finding(f"{part}: {state}")
    if all(state == "ok" for state in body["parts"].values()):
        yield ok(f"all {len(body['parts'])} parts work")


def damaged_events(installation: Installation) -> Iterator[Finding]:
    """Damaged parts of tables that ClickHouse has detached."""
    yield from look_above(installation, "events", problem, "ClickHouse has set no damaged part aside")


def sql(installation: Installation) -> Iterator[Finding]:
    """Whether the embedded engine can be confined while it answers SQL."""
    settings = installation.settings
    if settings.clickhouse.dsn or not settings.analytics.bind:
        return
    if confinement.version():
        yield ok("the SQL door can open only ClickHouse's own files")
        return
    tenants = "may log in all the same" if settings.analytics.tenants == "always" else "cannot log in"
    yield warning(
        "this kernel has no Landlock, so only the check of queries keeps the SQL door from the files of this user; "
        f"tenants {tenants} (analytics.tenants)"
    )
