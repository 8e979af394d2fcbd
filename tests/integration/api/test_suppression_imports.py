"""Lists from and to CSV files, over HTTP and a real journal."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest

from actors.importing import ListImporter
from api.suppressions import upload
from cluster.journal import suppression_imports
from cluster.journal.database import Unavailable, execute
from cluster.suppression.lists import SuppressionList
from tests.integration.api.conftest import Site
from tests.integration.api.test_suppressions import client_of

PATH = "/v3/suppression/bounces"
FILE = (
    "email,created,reason,status,colour\r\n"
    'Ada@example.com,1767225600,"550 no, such user",5.1.1,red\r\n'
    "no address,,,,\r\n"
    "bob@example.com,2026-01-31T12:00:00Z,,,\r\n"
    "ada@EXAMPLE.com,,,,\r\n"
)


@pytest.fixture
async def http(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with await client_of(site, site.tenant_id) as client:
        yield client


async def sent(http: httpx.AsyncClient, content: Any, **headers: str) -> httpx.Response:
    return await http.post(f"{PATH}/import", content=content, headers={"Content-Type": "text/csv", **headers})


async def work_in(site: Site) -> None:
    importer = ListImporter(site.journal)
    while await importer.round():
        pass


async def job(http: httpx.AsyncClient, id: str) -> Any:
    answer = await http.get(f"{PATH}/import/{id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_import_and_an_export(site: Site, http: httpx.AsyncClient) -> None:
    await http.post(PATH, json={"emails": ["bob@example.com"]})
    accepted = await sent(http, FILE)
    assert accepted.status_code == 202, accepted.text
    assert accepted.headers["x-postray-ignored"] == "colour"
    begun = accepted.json()
    assert (begun["status"], begun["progress"], begun["lines"], begun["list"]) == ("pending", 0, 0, "bounces")
    assert (await http.get(PATH)).json()[0]["email"] == "bob@example.com"
    await work_in(site)
    done = await job(http, begun["id"])
    assert (done["status"], done["progress"], done["finished_at"] is not None) == ("done", 1, True)
    assert (done["lines"], done["added"], done["known"], done["faulty"]) == (4, 1, 2, 1)
    assert done["faults"] == [{"line": 3, "message": "This is not an email address"}]
    [ada] = (await http.get(f"{PATH}/ada@example.com")).json()
    assert ada == {"created": 1767225600, "email": "Ada@example.com", "reason": "550 no, such user", "status": "5.1.1"}

    exported = await http.get(f"{PATH}/export", params={"email": "ada@"})
    assert exported.headers["content-type"] == "text/csv; header=present; charset=utf-8"
    row = 'Ada@example.com,1767225600,"550 no, such user",5.1.1'
    assert exported.text.splitlines() == ["email,created,reason,status", row]
    listed = await http.get(PATH, headers={"Accept": "text/csv"})
    assert len(listed.text.splitlines()) == 3
    one = await http.get(PATH, headers={"Accept": "text/csv"}, params={"limit": 1})
    assert len(one.text.splitlines()) == 2 and "next" in one.links

    again = (await sent(http, exported.content)).json()
    await work_in(site)
    assert (await job(http, again["id"]))["known"] == 1


async def test_an_upload_as_a_form_or_compressed(site: Site, http: httpx.AsyncClient) -> None:
    form = await http.post(
        f"{PATH}/import", files={"file": ("list.csv", FILE.encode(), "text/csv")}, data={"notify": "me"}
    )
    assert (form.status_code, form.headers["x-postray-ignored"]) == (202, "notify,colour")
    compressed = await sent(http, gzip.compress(b"email\n" + b"eve@example.com\n" * 3), **{"Content-Encoding": "gzip"})
    assert compressed.status_code == 202
    await work_in(site)
    assert (await job(http, form.json()["id"]))["added"] == 2
    assert (await job(http, compressed.json()["id"]))["known"] == 2


async def test_what_is_no_list_is_refused(site: Site, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MOST_BYTES", 100_000)
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    compressed = {"Content-Encoding": "gzip"}
    other_field = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nemail\r\n--b--\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nemail\r\na@example.com\r\n'
    cases: list[tuple[Any, dict[str, str], int]] = [
        (b"", {}, 400),
        (b"ada@example.com\n", {}, 400),
        (FILE.encode("utf-16"), {}, 400),
        (FILE, {"Content-Type": "application/json"}, 415),
        (FILE, {"Content-Type": "text/csv; charset=iso-8859-1"}, 415),
        (FILE, {"Content-Encoding": "br"}, 415),
        (FILE, compressed, 400),
        (gzip.compress(FILE.encode())[:-3], compressed, 400),
        (gzip.compress(b"email\n" + bytes(200_000)), compressed, 413),
        (b"email\n" + bytes(200_000), {}, 413),
        (b"x", {"Content-Type": "multipart/form-data"}, 400),
        (b"x", form, 400),
        (other_field, form, 400),
        (file, form, 400),
        (file + file + b"--b--\r\n", form, 400),
    ]
    for content, headers, status in cases:
        refused = await sent(http, content, **headers)
        assert refused.status_code == status, (content[:50], refused.text)
        assert refused.json()["errors"][0]["message"]
    with psycopg.connect(site.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM suppression_imports").fetchone() == (0,)


async def test_an_upload_that_stops_is_dropped(
    site: Site, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", 64)
    monkeypatch.setattr(upload, "MOST_BYTES", 10_000)

    async def long() -> AsyncIterator[bytes]:
        yield b"email\n"
        for _ in range(100):
            yield b"ada@example.com\n" * 10

    refused = await sent(http, long())
    assert refused.status_code == 413
    with psycopg.connect(site.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM suppression_import_chunks").fetchone() == (0,)


async def test_many_chunks_of_two_tenants(site: Site, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", 100)
    monkeypatch.setattr(suppression_imports, "MOST_FAULTS", 5)
    large = "email\n" + "".join(f"r{number}@example.com\nfaulty\n" for number in range(50))
    first = (await sent(http, large)).json()
    async with await client_of(site, await site.journal.tenants.create("other")) as other:
        second = (await sent(other, "email\nzoe@example.com\n")).json()
        assert (await other.get(f"{PATH}/import/{first['id']}")).status_code == 404
        assert (await http.get(f"/v3/suppression/blocks/import/{first['id']}")).status_code == 404
        for _ in range(3):  # the small one does not wait for the large one
            await site.journal.suppression_imports.work_in()
        assert (await job(other, second["id"]))["status"] == "done"
        assert 0 < (await job(http, first["id"]))["progress"] < 1
        # Two processes work at the same time, and neither takes what the other does.
        await asyncio.gather(*(work_in(site) for _ in range(2)))
        done = await job(http, first["id"])
        assert (done["status"], done["lines"], done["added"], done["faulty"]) == ("done", 100, 50, 50)
        assert [fault["line"] for fault in done["faults"]] == [3, 5, 7, 9, 11]
        assert len((await http.get(PATH)).json()) == 50
        assert [one["email"] for one in (await other.get(PATH)).json()] == ["zoe@example.com"]
    with psycopg.connect(site.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM suppression_import_chunks").fetchone() == (0,)


async def test_a_chunk_is_worked_in_once_when_another_process_commits_it_while_this_one_looks(
    site: Site, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", 40)
    begun = (await sent(http, "email\n" + "".join(f"r{number}@example.com\n" for number in range(100)))).json()

    async def work() -> None:
        while (await job(http, begun["id"]))["status"] == "pending":
            await site.journal.suppression_imports.work_in()

    await asyncio.gather(*(work() for _ in range(4)))
    done = await job(http, begun["id"])
    assert (done["status"], done["lines"], done["added"], done["faulty"]) == ("done", 100, 100, 0)


async def test_a_process_that_ends_while_it_works_in_loses_and_repeats_nothing(
    site: Site, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", 40)
    begun = (await sent(http, "email\n" + "".join(f"r{number}@example.com\n" for number in range(8)))).json()
    imports = site.journal.suppression_imports
    calls = 0

    class Killed(BaseException):
        pass

    async def killed(*arguments: Any, **parameters: Any) -> int:
        nonlocal calls
        calls += 1
        changed = await execute(*arguments, **parameters)
        if calls % 2:
            raise Killed
        return changed

    monkeypatch.setattr(suppression_imports, "execute", killed)
    for _ in range(40):
        try:
            if not await imports.work_in():
                break
        except Killed:
            continue
    assert calls > 4
    done = await job(http, begun["id"])
    assert (done["status"], done["lines"], done["added"], done["known"]) == ("done", 8, 8, 0)


async def test_a_tenant_has_a_bounded_number_of_imports(
    site: Site, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression_imports, "MOST_UNFINISHED", 1)
    assert [(await sent(http, FILE)).status_code for _ in range(2)] == [202, 409]
    await work_in(site)
    # The process that takes an upload is killed.
    assert await site.journal.suppression_imports.begin(site.tenant_id, SuppressionList.BOUNCES) is not None
    assert (await sent(http, FILE)).status_code == 409
    with psycopg.connect(site.dsn) as connection:
        connection.execute("UPDATE suppression_imports SET created_at = now() - interval '61 min'")
    assert (await sent(http, FILE)).status_code == 202


async def test_old_reports_and_uploads_that_never_ended_are_dropped(site: Site, http: httpx.AsyncClient) -> None:
    done = (await sent(http, FILE)).json()
    await work_in(site)
    kept = (await sent(http, FILE)).json()
    left = await site.journal.suppression_imports.begin(site.tenant_id, SuppressionList.BOUNCES)
    assert left is not None
    await site.journal.suppression_imports.add(left, 0, b"email\n")
    assert await site.journal.suppression_imports.purge(100) == 0
    with psycopg.connect(site.dsn) as connection:
        connection.execute("UPDATE suppression_imports SET created_at = '2020-01-01'")
        connection.execute("UPDATE suppression_imports SET finished_at = '2020-01-01' WHERE status = 'done'")
    assert await site.journal.suppression_imports.purge(1) == 1
    assert await site.journal.suppression_imports.purge(100) == 1
    assert (await job(http, kept["id"]))["status"] == "pending"
    assert (await http.get(f"{PATH}/import/{done['id']}")).status_code == 404


async def test_an_export_of_many_pages_is_complete(
    site: Site, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.suppressions.lists.EXPORTED_AT_ONCE", 3)
    emails = [f"r{number}@example.com" for number in range(9)]
    await http.post(PATH, json={"emails": emails})
    lines = (await http.get(f"{PATH}/export")).text.splitlines()
    assert sorted(line.partition(",")[0] for line in lines[1:]) == emails
    assert (await http.get(f"{PATH}/export", params={"limit": 3})).status_code == 400


async def test_an_upload_while_the_journal_is_away_is_to_be_sent_again(
    site: Site, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise Unavailable("it is away")

    monkeypatch.setattr(site.journal.suppression_imports, "add", away)
    refused = await sent(http, FILE)
    assert refused.status_code == 503 and refused.headers["retry-after"]
    monkeypatch.undo()
    assert (await sent(http, FILE)).status_code == 202
