"""``postray tracking rotate-key`` over a real API and a real journal."""

import httpx
import pytest

from cluster.ids import new_id
from cluster.installation import running
from cluster.tracking import keys
from cluster.tracking.tokens import Recipient
from tests.integration.operating.conftest import Postray
from tests.tracking import open_token


async def test_links_of_earlier_keys_go_on_working(postray: Postray, monkeypatch: pytest.MonkeyPatch) -> None:
    run = running.read_run(postray.data_dir)
    assert run is not None
    who = Recipient(tenant_number=1, message_id=new_id("msg_"), recipient_no=0, email="ada@example.com")
    tokens = [open_token(postray.token_keys, who)]
    assert "key 2 signs new links" in await postray.said("tracking", "rotate-key")
    tokens.append(open_token(postray.token_keys, who))
    assert await postray.json("tracking", "rotate-key") == {"key_id": 3}
    tokens.append(open_token(postray.token_keys, who))
    assert len(set(tokens)) == 3
    async with httpx.AsyncClient(base_url=run.url) as anybody:
        for token in tokens:
            assert (await anybody.get(f"/t/o/{token}.gif")).status_code == 200
        assert (await anybody.post("/api/admin/tracking/rotate-key")).status_code == 401
    monkeypatch.setattr(keys, "LAST_ID", 3)
    assert "no more can be made" in await postray.refused("tracking", "rotate-key")
