"""Fixtures. Every test in this folder runs on both event loops, since Ray's actors use uvloop when it is installed."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvloop

from actors.capture.sink import CaptureAddresses, CaptureSink
from cluster.settings import CaptureSettings
from cluster.smtpd import certificate

ANY_PORT = "127.0.0.1:0"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return certificate.server_context("localhost", tmp_path / "tls", now=datetime.now(UTC))


@pytest.fixture
def settings() -> CaptureSettings:
    return CaptureSettings(smtp_bind=ANY_PORT, http_bind=ANY_PORT)


@pytest.fixture
async def sink(tmp_path: Path, settings: CaptureSettings) -> AsyncIterator[CaptureSink]:
    running = CaptureSink(settings, tmp_path)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def addresses(sink: CaptureSink) -> CaptureAddresses:
    return await sink.start()


@pytest.fixture
async def http(addresses: CaptureAddresses) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=addresses.page) as client:
        yield client
