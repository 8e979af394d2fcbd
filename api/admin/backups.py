"""POST /api/admin/clickhouse-backup: a backup of the embedded ClickHouse, which only the recorder can make. ``postray
backup`` calls it until the backup is there, and takes it from the recorder's node."""

from typing import Annotated

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Struct

from analytics.backup import BackupState
from analytics.client import ClickHouseUnavailable
from api.admin.asking import ask
from api.admin.changing import post
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import Example
from cluster.peers import Call


class WantedBackup(Struct, frozen=True, kw_only=True):
    """Which backup: a new name begins one, and gives up the one of before."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,40}$")]


class WantedBackupBody(TypedBody[WantedBackup]):
    decoder = msgspec.json.Decoder(WantedBackup)


class BackupCalls:
    """The route of this module."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def handlers(self) -> list[HTTPRouteHandler]:
        route = post(
            "/clickhouse-backup",
            status_code=200,
            dto=WantedBackupBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Begin a backup of the embedded ClickHouse, or say how far it is",
            example=Example(body={"name": "backup-1"}),
        )
        return [route(self.back_up)]

    async def back_up(self, data: JSONBody[WantedBackup]) -> BackupState:
        try:
            state: BackupState = await ask(self._call, "recorder", "back_up", data.name)
        except ClickHouseUnavailable as error:
            return BackupState(state="failed", reason=error.reason)
        return state
