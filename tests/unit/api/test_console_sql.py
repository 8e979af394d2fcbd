"""What asks the recorder for SQL."""

from typing import Any

import pytest

from analytics.door.asked import SqlWanted
from api.console.sql import asking
from cluster.intake.backpressure import Overloaded
from cluster.peers import PeerGone


@pytest.mark.parametrize("error", [PeerGone("recorder", "restarting"), AttributeError("sql")])
async def test_a_recorder_that_is_away_or_of_an_earlier_release_is_told(error: Exception) -> None:
    async def call(*_: Any) -> Any:
        raise error

    with pytest.raises(Overloaded, match="cannot be reached now"):
        await asking(call, 1.0)(SqlWanted(query="SELECT 1", shape="rows", most_bytes=1))
