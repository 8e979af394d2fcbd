"""``postray tls-report`` over a real API; the scheduler's answers are made up."""

from datetime import date

from msgspec.structs import replace

from tests.integration.operating.conftest import Postray
from tests.integration.operating.facts import TLS_REPORTS


async def test_a_dry_run_shows_the_reports_and_sends_nothing(postray: Postray) -> None:
    said = await postray.said("tls-report", "--day", "2026-03-01", "--domain", "Example.com", "--dry-run")
    assert "to mailto:tls@example.com: sent 2026-03-02" in said
    assert "to https://r.example.com/: tried again 2026-03-02" in said
    assert "to https://s.example.com/: not sent yet" in said
    assert '"organization-name": "[bold]Example"' in said
    assert postray.reports_asked == [("show_tls_reports", date(2026, 3, 1), "example.com", "")]
    found = await postray.json("tls-report", "--day", "2026-03-01", "--dry-run")
    assert found["reports"][0]["document"] == {"organization-name": "[bold]Example"}


async def test_pages_are_shown_together(postray: Postray) -> None:
    pages = iter([replace(TLS_REPORTS, next="example.com"), TLS_REPORTS])

    class Pages(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            return next(pages)

    postray.reports = Pages(any=1)
    assert len((await postray.json("tls-report", "--dry-run"))["reports"]) == 2
    assert [asked[3] for asked in postray.reports_asked] == ["", "example.com"]


async def test_the_reports_of_a_day_are_sent_now(postray: Postray) -> None:
    assert "reports on 3 domains are being sent" in await postray.said("tls-report", "--day", "2026-03-01")
    assert postray.reports_asked == [("send_tls_reports", date(2026, 3, 1), "")]


async def test_nothing_was_counted(postray: Postray) -> None:
    postray.reports = {"show_tls_reports": replace(TLS_REPORTS, reports=()), "send_tls_reports": 0}
    for more in ((), ("--dry-run",)):
        said = await postray.said("tls-report", "--day", "2026-03-01", "--domain", "a.example", *more)
        assert said == "Nothing was counted on 2026-03-01 for a.example."


async def test_a_missing_sender_domain_is_told(postray: Postray) -> None:
    postray.reports = {"show_tls_reports": replace(TLS_REPORTS, problem="no tenant has verified mail.example.net")}
    assert "no tenant has verified mail.example.net" in await postray.said("tls-report", "--dry-run")


async def test_where_reports_are_off_it_says_so(postray: Postray) -> None:
    postray.reports = None
    assert "tls_reports.sender is not set" in await postray.refused("tls-report", "--dry-run")
