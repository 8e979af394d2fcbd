"""The journal's part for balance: what delivery actors carry, and the assignment that the scheduler makes of it."""

import logging
import zlib

import msgspec
from msgspec import Struct

from cluster.journal.database import JournalPart
from cluster.policy.balance.assignment import Assignment
from cluster.policy.balance.loads import ActorLoad

log = logging.getLogger(__name__)

_encoder = msgspec.msgpack.Encoder()
_assignments = msgspec.msgpack.Decoder(Assignment)
_loads = msgspec.msgpack.Decoder(ActorLoad)


class Reported(Struct, frozen=True, kw_only=True):
    """The last report of a delivery actor, which may be gone."""

    name: str
    load: ActorLoad
    age_s: float


class Balance(JournalPart):
    async def report(self, name: str, load: ActorLoad) -> None:
        """Record what a delivery actor carries."""
        await self._database.execute("report_load", name=name, load=zlib.compress(_encoder.encode(load)))

    async def reports(self, within_s: float) -> list[Reported]:
        """The reports of the last ``within_s``. One that another release has written and this one cannot read is left
        out."""
        found = []
        for name, load, age_s in await self._database.rows("loads", within_s=within_s):
            try:
                found.append(Reported(name=name, load=_loads.decode(zlib.decompress(load)), age_s=age_s))
            except (msgspec.DecodeError, zlib.error) as error:
                log.warning("load not understood actor=%s reason=%r", name, str(error))
        return found

    async def assignment(self) -> Assignment:
        """The assignment. Raises ValueError for one that another release has written and this one cannot read."""
        row = await self._database.row("assignment")
        assert row is not None
        version, encoded = row
        if not encoded:
            return Assignment(version=version)
        try:
            return _assignments.decode(zlib.decompress(encoded))
        except (msgspec.DecodeError, zlib.error) as error:
            raise ValueError(f"version {version}: {error}") from error

    async def assign(self, assignment: Assignment, former: int) -> bool:
        """Make this the assignment, if ``former`` is the version that is in force. Returns whether it was."""
        encoded = zlib.compress(_encoder.encode(assignment))
        return (
            await self._database.execute("assign", version=assignment.version, assignment=encoded, former=former) == 1
        )
