"""Timelines through the recorder's socket: the same as through a call of the recorder, which is the way otherwise."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from analytics.client import ClickHouseUnavailable
from analytics.timeline import RECORDER, timelines_of
from cluster.near_calls import socket_of
from tests.integration.analytics.recording import ListLog, Scene, batch
from tests.unit.analytics.samples import by_name, every_kind
from tests.waiting import until


class Ray:
    """Calls the recorder."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.calls = 0

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        self.calls += 1
        assert actor == RECORDER
        return await getattr(self.scene.recorder, method)(*arguments)


async def test_a_timeline_through_the_socket_is_the_same() -> None:
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has at most 107 characters
        data_dir = Path(folder)
        (data_dir / "run").mkdir()
        scene = Scene(ListLog(batch(*every_kind())), data_dir)
        ray = Ray(scene)
        timeline = timelines_of(ray.call, data_dir)
        await scene.recorder.start()
        await scene.log.drained()
        direct = await scene.recorder.timeline("tnt_1", "msg_1")
        assert [event.event_type for event in direct.events] == list(by_name())
        assert await timeline("tnt_1", "msg_1") == direct
        assert ray.calls == 1  # it does not listen here

        await scene.recorder.stop()
        scene = ray.scene = Scene(ListLog(), data_dir)
        scene.recorder.near = socket_of(data_dir, RECORDER)
        await scene.recorder.start()

        async def is_ready() -> bool:
            try:
                return await scene.recorder.timeline("tnt_1", "msg_1") == direct
            except ClickHouseUnavailable:
                return False

        await until(is_ready)
        timeline = timelines_of(ray.call, data_dir)
        assert await timeline("tnt_1", "msg_1") == direct
        assert (await timeline("tnt_2", "msg_1")).events == []
        assert ray.calls == 1
        await scene.recorder.stop()
        with pytest.raises(ClickHouseUnavailable):
            await timeline("tnt_1", "msg_1")
        assert ray.calls == 2
