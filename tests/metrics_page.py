"""docs/metrics.md, made from the declarations of metrics. ``python -m tests.metrics_page`` writes it."""

import importlib
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import cluster
from cluster.metrics import MOST_NAMES, OTHER, Counters, Histogram, Metric

ROOT = Path(cluster.__file__).parents[1]
PAGE = ROOT / "docs" / "metrics.md"
PACKAGES = ("actors", "analytics", "api", "cluster")

PARTS = {
    "api": "The API: accepting, images, tracked mail",
    "cluster/intake": "Intake: what is accepted and refused",
    "cluster/tenancy": "Tenants: limits, domains",
    "cluster/routing": "Offers to delivery actors",
    "actors/delivery": "Delivery: sites, claims, connections, outcomes",
    "cluster/lookup": "The DNS, and TLS reports' counts",
    "cluster/templates": "Templates",
    "actors": "What there is one of: the scheduler, the supervisor and what the journal tells it, the recorder",
    "actors/tls_reports": "TLS reports",
    "cluster/event_consumer.py": "Consumers of the event log: the recorder, webhooks",
    "analytics": "ClickHouse and the SQL door",
    "actors/webhooks": "Webhooks",
    "actors/mail_in": "Mail in",
    "actors/capture": "The capture sink",
    "cluster/smtpd": "SMTP servers: submission, mail in, the capture sink",
    "cluster/http": "HTTP servers",
    "cluster/journal": "The journal",
    "cluster/launch": "Calls between actors",
    "cluster/monitoring": "Processes, machines, and the scrape itself",
}
"""The parts of the page, in its order, by where their metrics are declared; the longest beginning counts."""

BEFORE = f"""\
# Metrics

`GET /metrics` on each node answers in the format of [Prometheus](https://prometheus.io/) (OpenMetrics where the client
accepts it, else the text format before it). It needs no key and names no tenant, no address and no message. It answers
on `http.bind`; with `metrics.bind`, a server of its own on each node answers it and nothing else, and `http.bind` does
not. Sites are named, and how much is sent: where clients from outside reach `http.bind`, set `metrics.bind`, or keep
`/metrics` back at the proxy. A node without the role `api` has no `http.bind`: there `metrics.bind` is needed.

```sh
curl -s http://127.0.0.1:8080/metrics
```

A node tells of its own actors, each on the node where it runs. So scrape every node; the sums over all of them have
everything once. Every value has the label `actor`, the name of the actor (`delivery-0-1` is the second delivery actor
of node 0); what is told of the node itself, and of the embedded Postgres, has none. The embedded ClickHouse is a part
of the recorder's process: `postray_process_…` of the actor `recorder` is about both. Actors are asked in parallel, for
2 s at most, and less where Prometheus waits for less. Where one does not answer, the rest is told, and
`postray_actor_answers` is 0 for it.
What was collected is told again for half a second.

A counter begins at 0 when its process starts: Prometheus' `rate` and `increase` take that into account. A gauge
that cannot be told is NaN. What is counted by site has {MOST_NAMES} names in each actor: the large receivers always
have their own, then the first others; all further sites are `{OTHER}`. Metrics cost a message an addition: gauges are
computed when they are asked for.

`examples/monitoring` has a scrape configuration, alert rules and a dashboard for Grafana
([operating.md](operating.md#watching-it-with-prometheus)).

"""
AFTER = """\
This page is made from the code: `python -m tests.metrics_page` writes it.
"""


@cache
def declared() -> tuple[tuple[str, Metric[Any]], ...]:
    """Every metric of the product, and the file that declares it, in the order of the code."""
    return tuple(_declared())


def _declared() -> Iterator[tuple[str, Metric[Any]]]:
    for path in sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")):
        if "metrics import" not in path.read_text(encoding="utf-8"):
            continue
        file = path.relative_to(ROOT)
        module = importlib.import_module(".".join(file.with_suffix("").parts))
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                for value in vars(kind).values():
                    if isinstance(value, Metric):
                        yield str(file), value


def part_of(file: str) -> str:
    """The key in ``PARTS``. Raises KeyError."""
    parents = [file, *map(str, Path(file).parents)]
    for one in parents:
        if one in PARTS:
            return one
    raise KeyError(file)


def page() -> str:
    order = list(PARTS)
    rows = sorted(
        ((order.index(part_of(file)), metric.name, metric, file) for file, metric in declared()),
        key=lambda row: row[:2],
    )
    text = [BEFORE]
    for part, of_part in groupby(rows, key=lambda row: row[0]):
        text.append(f"## {PARTS[order[part]]}\n\n| metric | kind | |\n|---|---|---|\n")
        text += [f"| {_named(metric)} | {metric.kind} | {_told(metric)} |\n" for _, _, metric, _ in of_part]
        text.append("\n")
    return "".join(text) + AFTER


def _named(metric: Metric[Any]) -> str:
    label = metric.label if metric.label and not isinstance(metric, Histogram) else ""
    return f"`{metric.name}{{{label}}}`" if label else f"`{metric.name}`"


def _told(metric: Metric[Any]) -> str:
    if not isinstance(metric, Counters):
        return metric.help
    return f"{metric.help} `{metric.label}`: {', '.join(map(str, metric.each))}."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
