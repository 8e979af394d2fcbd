"""What the Postgres server is."""

from collections.abc import Iterator

from cluster.doctor.findings import Finding, ok, problem, warning
from cluster.journal.server import ServerFacts

OLDEST = 15
"""The oldest major version of Postgres that has all that statements use."""
LOCKS = 256
"""Statements lock the partitions of their tables, one a day."""
CONNECTIONS_USED = 0.9
"""Above this share of ``max_connections`` a process that starts may be refused."""


def of_postgres(facts: ServerFacts) -> Iterator[Finding]:
    major = facts.version // 10_000
    if major < OLDEST:
        yield problem(f"Postgres {major} is too old: {OLDEST} or later is needed")
    else:
        yield ok(f"Postgres {major}.{facts.version % 10_000}")
    if facts.is_standby:
        yield problem("this Postgres is a standby and takes no writes: name the primary in postgres.dsn")
    for name, is_on in (("fsync", facts.fsync), ("full_page_writes", facts.full_page_writes)):
        if not is_on:
            yield problem(f"{name} is off in Postgres: accepted mail is lost when its machine fails; turn it on")
    if facts.synchronous_commit in ("off", "local"):
        yield problem(
            f"synchronous_commit is {facts.synchronous_commit} in Postgres, so a 202 comes before its message is safe: "
            "set it to on"
        )
    if facts.max_locks_per_transaction < LOCKS:
        yield warning(
            f"max_locks_per_transaction is {facts.max_locks_per_transaction} in Postgres: set it to {LOCKS}, since "
            "statements lock the partitions of their tables"
        )
    if facts.connections > facts.max_connections * CONNECTIONS_USED:
        yield warning(
            f"{facts.connections} of the {facts.max_connections} connections of Postgres are in use: raise "
            "max_connections"
        )
