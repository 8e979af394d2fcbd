"""Unit tests do no I/O of their own; above all they never start a cluster."""

import pytest


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a unit test must not start ray")

    monkeypatch.setattr("ray.init", refuse)
