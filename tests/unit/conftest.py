"""Unit tests need no server, start no process and open no connection, and above all no cluster: `make unit` runs them
alone."""

import socket
import subprocess

import pytest


@pytest.fixture(autouse=True)
def nothing_else_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a unit test must start nothing and connect to nothing")

    monkeypatch.setattr("ray.init", refuse)
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    for method in ("connect", "connect_ex", "listen"):
        monkeypatch.setattr(socket.socket, method, refuse)
