import pytest

from cluster.policy.tls.mta_sts import (
    MAX_AGE_S,
    MAX_MX,
    InvalidPolicy,
    StsMode,
    StsPolicy,
    allows,
    parse_policy,
    record_id,
)


@pytest.mark.parametrize(
    ("texts", "policy_id"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=1"], "1"),
        (["v=STSv1; \t id=1 ; ext=some.value ;"], "1"),
        (["v=STSv1; ext=x; id=1;"], "1"),
        (["v=spf1 -all", "v=STSv1; id=1;", "v=STSv2; id=2;"], "1"),
        ([], None),
        (["v=STSv1; id=1;", "v=STSv1; id=1;"], None),
        (["v=STSv1"], None),
        (["v=STSv1;"], None),
        (["v=STSv1; id=;"], None),
        (["v=STSv1; id=1-2;"], None),
        (["v=STSv1; id=" + "1" * 33 + ";"], None),
        (["v=STSv1; id=1; ;"], None),
        (["v=STSv1; id=1; what"], None),
        (["id=1; v=STSv1;"], None),
        (["V=STSv1; id=1;"], None),
    ],
)
def test_the_record(texts: list[str], policy_id: str | None) -> None:
    assert record_id(texts) == policy_id


def test_the_example_of_the_rfc() -> None:
    text = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\n"
    assert parse_policy(text + "max_age: 604800\n") == StsPolicy(
        StsMode.ENFORCE, ("*.example.net", "backupmx.example.com", "mail.example.com"), 604800
    )


def test_policies_that_mean_the_same_are_equal() -> None:
    one = parse_policy("version: STSv1\r\nmode: enforce\r\nmx: A.test\r\nmx: b.test\r\nmax_age: 1\r\n")
    other = parse_policy(
        "max_age:1\n\nmx:b.test \nmx:a.test\nmx: B.test\nmode:enforce\nversion:STSv1\nmore: new\nmode: none"
    )
    assert one == other
    assert isinstance(one, StsPolicy)
    assert one.lines() == ("version: STSv1", "mode: enforce", "mx: a.test", "mx: b.test", "max_age: 1")


def test_mode_none_needs_no_hosts() -> None:
    assert parse_policy("version: STSv1\nmode: none\nmax_age: 1") == StsPolicy(StsMode.NONE, (), 1)


def test_the_age_is_bounded() -> None:
    policy = parse_policy("version: STSv1\nmode: none\nmax_age: 9999999999")
    assert isinstance(policy, StsPolicy)
    assert policy.max_age_s == MAX_AGE_S


GOOD = {"version": "STSv1", "mode": "enforce", "max_age": "1", "mx": "a.test"}


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "STSv2"},
        {"mode": "Enforce"},
        {"max_age": "-1"},
        {"max_age": "99999999999"},
        {"max_age": "\N{ARABIC-INDIC DIGIT ONE}"},
        {"mx": ""},
        {"mx": "a..test"},
        {"mx": "*"},
        {"mx": "a.*.test"},
        {"mx": "*a.test"},
        {"mx": "192.0.2.1 b"},
        {"mx": "a" * 64 + ".test"},
        {"mx": "a-" * 30_000},
    ],
)
def test_what_is_not_a_policy(changed: dict[str, str]) -> None:
    assert isinstance(parse_policy("\n".join(f"{k}: {v}" for k, v in (GOOD | changed).items())), InvalidPolicy)


@pytest.mark.parametrize("missing", GOOD)
def test_no_field_may_be_missing(missing: str) -> None:
    text = "\n".join(f"{k}: {v}" for k, v in GOOD.items() if k != missing)
    assert isinstance(parse_policy(text), InvalidPolicy)


def test_too_many_hosts() -> None:
    hosts = "\n".join(f"mx: a{i}.test" for i in range(MAX_MX + 1))
    assert isinstance(parse_policy(f"version: STSv1\nmode: enforce\nmax_age: 1\n{hosts}"), InvalidPolicy)


@pytest.mark.parametrize(
    ("pattern", "host", "allowed"),
    [
        ("mx.example.com", "MX.example.com.", True),
        ("mx.example.com", "a.mx.example.com", False),
        ("*.example.com", "mx.example.com", True),
        ("*.example.com", "a.mx.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", "mxexample.com", False),
        ("example.com", "mx.example.com", False),
    ],
)
def test_patterns(pattern: str, host: str, allowed: bool) -> None:
    assert allows((pattern,), host) is allowed
    assert not allows((), host)
