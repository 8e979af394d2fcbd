"""How near an actor is to what it can, and how late is what it begins."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from actors.delivery.site import Site
from actors.delivery.strain import SPAN_S, Strain, Worked
from cluster import metrics
from cluster.journal.records import Claimed

BEGAN = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
WINDOW = 100


class Actor:
    """An actor of which a part of each second is used."""

    def __init__(self) -> None:
        self.passed_s = self.loop_s = self.machine_s = 0.0
        self.on_the_wire = 0
        self.strain = Strain(
            WINDOW,
            lambda: self.on_the_wire,
            lambda: Worked(self.loop_s, self.machine_s, 4 * self.passed_s),  # four processors
            clock=lambda: self.passed_s,
            now=lambda: BEGAN.timestamp() + self.passed_s,
        )

    def goes_on(self, seconds: float, *, loop: float = 0.0, machine: float = 0.0, late_s: float = 0.0) -> None:
        for _ in range(round(seconds * 4)):
            if late_s:
                self.begins(late_s)
            self.passed_s += 0.25
            self.loop_s += loop / 4
            self.machine_s += 4 * machine / 4
            self.strain.measure_if_due()

    def begins(self, late_s: float, *, attempts: int = 1, is_held_back: bool = False) -> None:
        due = BEGAN + timedelta(seconds=self.passed_s - late_s)
        claimed = SimpleNamespace(attempts=attempts, dated_at=due, tenant_id="acme")
        site = SimpleNamespace(is_held_back=lambda tenant_id: is_held_back and tenant_id == "acme")
        self.strain.begins(cast(Site, site), [cast(Claimed, claimed)])

    @property
    def told(self) -> tuple[float, float]:
        values = {reading.name: reading.values[""] for reading in metrics.read(self.strain)}
        return values["postray_delivery_use_ratio"], values["postray_delivery_late_seconds"]


@pytest.mark.parametrize(
    ("loop", "machine", "on_the_wire", "late_s", "use"),
    [
        (0.9, 0.3, 0, 5, 0.9),
        (0.2, 0.95, 50, 5, 0.95),
        (0.2, 0.95, 50, 0.9, 0.5),  # others use the machine, and this actor has what it needs
        (0.1, 0.1, 88, 0, 0.88),
    ],
)
def test_what_is_nearest_to_its_end_counts(
    loop: float, machine: float, on_the_wire: int, late_s: float, use: float
) -> None:
    actor = Actor()
    assert max(actor.told) == 0, "nothing is known yet"
    actor.on_the_wire = on_the_wire
    actor.goes_on(20, loop=loop, machine=machine, late_s=late_s)
    assert actor.told[0] == pytest.approx(use)


def test_what_was_long_ago_is_forgotten() -> None:
    actor = Actor()
    actor.goes_on(20, loop=1.0)
    actor.begins(70)
    actor.goes_on(1)
    assert actor.told[1] == pytest.approx(70)
    actor.goes_on(SPAN_S + 1)
    assert actor.told == pytest.approx((0, 0))


def test_the_latest_of_what_is_begun_counts_unless_a_limit_or_a_retry_held_it() -> None:
    actor = Actor()
    actor.begins(3)
    actor.begins(40, attempts=2)
    actor.begins(50, is_held_back=True)
    actor.begins(7)
    actor.begins(1)
    actor.goes_on(1)
    assert actor.told[1] == pytest.approx(7)
    actor.begins(-2)  # the journal's clock is ahead
    actor.goes_on(SPAN_S + 1)
    assert actor.told[1] == 0
