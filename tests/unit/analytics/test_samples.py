"""The flight recorder's samples: their columns, and what of a reply is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.samples import MASK, SAMPLES, SITE_SAMPLES, Sample, SiteSample, sample_columns, without_recipients


def test_the_columns_are_the_fields_in_their_order() -> None:
    assert tuple(SITE_SAMPLES.columns) == SiteSample.__struct_fields__
    assert tuple(SAMPLES.columns) == Sample.__struct_fields__
    one, two = (SiteSample(site=site, source="", at=1, interval_s=10.0) for site in ("a", "b"))
    assert sample_columns([one, two])[:3] == [("a", "b"), ("", ""), (1, 1)]
    assert sample_columns([]) == []


@pytest.mark.parametrize(
    ("reply", "kind", "kept"),
    [
        ("250 2.0.0 OK 1773 abc - gsmtp", "accepted", "250 2.0.0 OK 1773 abc - gsmtp"),
        (
            "421 4.7.0 Try again later, closing connection.",
            "deferred",
            "421 4.7.0 Try again later, closing connection.",
        ),
        ("450 too many from <bounce+a=b.example@mail.example>", "deferred", f"450 too many from <{MASK}>"),
        ("450 4.2.2 ada is over quota", "deferred", f"450 4.2.2 {MASK}"),
        ("550 5.1.1 no ada here", "bounced", f"550 5.1.1 {MASK}"),
        ("550-5.1.1 no ada\n550 5.1.1 here", "bounced", f"550-5.1.1 {MASK}"),
        ("550 no ada here", "bounced", f"550 {MASK}"),
        ("550 5.7.1 blocked by policy", "bounced", "550 5.7.1 blocked by policy"),
        ("connect: timed out", "deferred", "connect: timed out"),
        ("553 5.7.1 ada@ is barred", "bounced", f"553 5.7.1 {MASK} is barred"),
        ("", "deferred", ""),
    ],
)
def test_a_reply_is_kept_without_what_may_name_a_recipient(reply: str, kind: str, kept: str) -> None:
    assert without_recipients(reply, kind) == kept


@given(st.text(), st.sampled_from(["accepted", "deferred", "bounced"]))
def test_no_address_is_left_in_any_reply(text: str, kind: str) -> None:
    assert "ada@example.com" not in without_recipients(f"{text} ada@example.com", kind)
