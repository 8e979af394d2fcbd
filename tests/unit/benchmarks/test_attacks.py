"""The attacks do what their names say, and end when they are cancelled."""

import gzip

import pytest

from api.send.large.crowding import crowded
from benchmarks.attacks import bodies
from benchmarks.attacks.table import ATTACKS


@pytest.mark.parametrize("name", ATTACKS)
def test_each_is_known_by_its_name(name: str) -> None:
    if "MB" not in name and name not in ("many keys", "odd JSON", "packed recipients", "huge heads", "commands"):
        assert ATTACKS[name]().name == name


def test_what_is_packed_is_crowded() -> None:
    request = bodies.packed(bodies.empty_recipients(500_000))
    assert len(request.body) < 20_000
    fault = crowded(gzip.decompress(request.body))
    assert fault is not None and fault.field == "personalizations[0]"
