"""Parts of the tables that ClickHouse has detached because it could not read them: their content is missing.

ClickHouse notices damage when it loads a table, moves the part to the table's folder ``detached``, and continues
without it. The operator decides whether to attach it again or to delete it: see "Damaged events" in docs/operating.md.
Parts that ClickHouse detaches in normal operation (being cloned, or a duplicate) are not damage.
"""

import logging
from pathlib import Path

from msgspec import Struct

from analytics.client import ClickHouse, ClickHouseUnavailable
from cluster.settings import ClickHouseSettings

log = logging.getLogger(__name__)

EVENTS = "events"
SHOWN = 3
"""Parts listed by name."""

NO_DAMAGE = ("ignored", "clone", "attaching", "deleting")
"""Reasons for detaching a part in normal operation; the part's name begins with the reason."""

DETACHED = f"""
SELECT table, name
FROM system.detached_parts
WHERE database = currentDatabase() AND coalesce(reason, '') NOT IN {NO_DAMAGE}
ORDER BY table, name
"""


class Damage(Struct, frozen=True):
    """Detached parts of all tables, each as ``table/name``."""

    parts: tuple[str, ...] = ()

    @property
    def of_events(self) -> bool:
        """Whether events are missing."""
        return any(part.startswith(f"{EVENTS}/") for part in self.parts)

    def __str__(self) -> str:
        count, shown = len(self.parts), ", ".join(self.parts[:SHOWN])
        named = shown + (", …" if count > SHOWN else "")
        parts = "part" if count == 1 else "parts"
        return f"ClickHouse set {count} damaged {parts} aside ({named}): timelines and counts may be incomplete"


def find_damage(client: ClickHouse) -> Damage:
    """The parts that are detached now. Raises ClickHouseUnavailable when ClickHouse does not answer."""
    return Damage(tuple(f"{table}/{name}" for table, name in client.rows(DETACHED)))


def looked_again(client: ClickHouse, before: Damage) -> Damage:
    """The damage now, where ClickHouse tells, otherwise that of before. What is new is logged."""
    try:
        damage = find_damage(client)
    except ClickHouseUnavailable as error:
        # The database user may lack the right to ask; events are recorded all the same.
        log.warning("cannot look for damaged parts error=%s", error)
        return before
    if damage.parts and damage != before:
        log.error("%s parts=%s", damage, " ".join(damage.parts))
    elif before.parts and not damage.parts:
        log.info("no damaged parts any more")
    return damage


def set_aside(settings: ClickHouseSettings, data_dir: Path) -> list[str]:
    """The lines of ``postray doctor``: one for each part, with the remedy. Works beside a running embedded engine,
    which only its own process can query, by reading its folders."""
    lost = "the events in it are lost unless you restore it"
    if not settings.dsn:
        folders = sorted((data_dir / "clickhouse" / "store").glob("*/*/detached/*"))
        return [
            f"ClickHouse set a damaged part aside: {folder}; {lost}; to have done with it: rm -r {folder}"
            for folder in folders
            if not folder.name.startswith(NO_DAMAGE)
        ]
    try:
        client = ClickHouse.open(settings, data_dir)
        try:
            damage = find_damage(client)
        finally:
            client.close()
    except ClickHouseUnavailable as error:
        return [f"ClickHouse does not say which parts are damaged: {error}"]
    return [
        f"ClickHouse set a damaged part aside: {name} of {table}; {lost}; to have done with it: ALTER TABLE {table} "
        f"DROP DETACHED PART '{name}' SETTINGS allow_drop_detached = 1"
        for table, _, name in (part.partition("/") for part in damage.parts)
    ]
