"""``postray recipients erase`` over a real API and a real journal."""

import asyncio
from pathlib import Path

import pytest

from cluster.commands import recipients
from tests.integration.journal.builders import a_tenant
from tests.integration.operating.conftest import Postray


async def test_jobs_are_requested_and_waited_for(
    postray: Postray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipients, "MOST_ADDRESSES", 2)
    monkeypatch.setattr(recipients, "LOOK_S", 0.01)
    tenant = await a_tenant(postray.journal, "acme")
    file = tmp_path / "gone.txt"
    file.write_text("bob@example.com\n\n carl@example.com \n", encoding="utf-8")
    made = await postray.json("recipients", "erase", "acme", "ada@example.com", "--file", str(file))
    jobs = [job["job_id"] for job in made["jobs"]]
    assert [job["status"] for job in made["jobs"]] == ["pending"] * 2
    states = [await postray.journal.recipient_erasure.find(tenant, job) for job in jobs]
    assert None not in states

    async def end_all() -> None:
        """The jobs are due two seconds after their requests."""
        erasure, last = postray.journal.recipient_erasure, "ada@example.com"
        while last != "eve@example.com":
            if (job := await erasure.next()) is not None:
                last = job.addresses[-1]
                await erasure.finish(job)
            await asyncio.sleep(0.01)

    ending = asyncio.create_task(end_all())
    said = await postray.said("recipients", "erase", tenant, "eve@example.com", "--wait")
    await ending
    assert said.endswith(" is done")


async def test_what_is_refused(postray: Postray, tmp_path: Path) -> None:
    await a_tenant(postray.journal, "acme")
    assert "give an EMAIL" in (await postray.run("recipients", "erase", "acme")).output
    assert "does not exist" in (await postray.run("recipients", "erase", "acme", "--file", str(tmp_path / "x"))).output
    (tmp_path / "latin").write_bytes(b"j\xf6rg@example.com")
    assert "UTF-8" in (await postray.run("recipients", "erase", "acme", "--file", str(tmp_path / "latin"))).output
    assert "not an email address" in await postray.refused("recipients", "erase", "acme", "ada")
    assert "No tenant is known as other" in await postray.refused("recipients", "erase", "other", "ada@example.com")
