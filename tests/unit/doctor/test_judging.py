"""What ``postray doctor`` says of Postgres, certificates, old secrets, connections; and how its checks are run."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from msgspec.structs import replace

from analytics.version import older, parsed
from cluster.doctor.checks import examine
from cluster.doctor.findings import Finding, FindingState, Installation, ok, problem, warning, worst
from cluster.doctor.judging import secrets
from cluster.doctor.judging.certificates import Certificate, of_certificate
from cluster.doctor.judging.outgoing import Attempt, of_attempt
from cluster.doctor.judging.stores import of_postgres
from cluster.journal.secret_ages import SigningKeys, UnusedToken
from cluster.journal.server import ServerFacts
from cluster.settings import Settings

OK, WARNING, PROBLEM = FindingState
NOW = datetime(2026, 5, 1, tzinfo=UTC)
GOOD = ServerFacts(
    version=180_001,
    fsync=True,
    full_page_writes=True,
    synchronous_commit="on",
    max_locks_per_transaction=256,
    max_connections=200,
    connections=20,
    is_standby=False,
    now=NOW,
)


@pytest.mark.parametrize(
    ("facts", "state", "said"),
    [
        (GOOD, OK, "Postgres 18.1"),
        (replace(GOOD, version=140_012), PROBLEM, "Postgres 14 is too old: 15"),
        (replace(GOOD, fsync=False), PROBLEM, "fsync is off"),
        (replace(GOOD, full_page_writes=False), PROBLEM, "full_page_writes is off"),
        (replace(GOOD, synchronous_commit="off"), PROBLEM, "before its message is safe"),
        (replace(GOOD, synchronous_commit="remote_apply"), OK, "Postgres 18.1"),
        (replace(GOOD, is_standby=True), PROBLEM, "a standby"),
        (replace(GOOD, max_locks_per_transaction=64), WARNING, "set it to 256"),
        (replace(GOOD, connections=190), WARNING, "190 of the 200 connections"),
    ],
)
def test_postgres(facts: ServerFacts, state: FindingState, said: str) -> None:
    found = list(of_postgres(facts))
    assert worst(found) is state
    assert any(finding.state is state and said in finding.text for finding in found), found


HELD = Certificate(
    "bounce.certificate",
    "/etc/c.pem",
    begins=NOW - timedelta(days=10),
    ends=NOW + timedelta(days=80),
    names=("mx.example.com", "*.in.example.com"),
    host="mx.example.com",
)


@pytest.mark.parametrize(
    ("certificate", "state", "said"),
    [
        (HELD, OK, "holds until 2026-07-20"),
        (replace(HELD, fault="no such file"), PROBLEM, "cannot be used: no such file"),
        (replace(HELD, ends=NOW), PROBLEM, "has ended"),
        (replace(HELD, begins=NOW + timedelta(hours=1)), PROBLEM, "begins only at"),
        (replace(HELD, ends=NOW + timedelta(days=20)), WARNING, "ends in 20 days"),
        (replace(HELD, host="other.example.com"), WARNING, "not for other.example.com"),
        (replace(HELD, host="a.in.example.com"), OK, "holds"),
        (replace(HELD, host="a.b.in.example.com"), WARNING, "not for a.b.in.example.com"),
        (replace(HELD, host=""), OK, "holds"),
    ],
)
def test_certificates(certificate: Certificate, state: FindingState, said: str) -> None:
    found = of_certificate(certificate, NOW)
    assert (found.state, said in found.text) == (state, True), found


def test_old_secrets() -> None:
    assert secrets.of_file("secret.key", timedelta(days=366), "rotate").state is OK
    old = secrets.of_file("secret.key", timedelta(days=367), "postray secret rotate")
    assert (old.state, old.text.endswith("postray secret rotate")) == (WARNING, True)
    assert secrets.of_signing_keys(SigningKeys(0, ())).state is OK
    keys = secrets.of_signing_keys(SigningKeys(4, ("a.example", "b.example", "c.example")))
    assert (keys.state, "4 signing keys" in keys.text, "c.example, …" in keys.text) == (WARNING, True, True)
    (told,) = secrets.of_tokens([UnusedToken("console")])
    assert (told.state, "postray operator-token revoke console" in told.text) == (WARNING, True)
    assert [finding.state for finding in secrets.of_tokens([])] == [OK]


def test_connections_to_hosts() -> None:
    made = Attempt("mx.example.net", 25, "192.0.2.1")
    assert of_attempt(replace(made, greeting="220 mx ready")).state is OK
    assert of_attempt(replace(made, greeting="554 no")).state is WARNING
    refused = of_attempt(replace(made, fault="timed out"))
    assert (refused.state, "from 192.0.2.1: timed out; where" in refused.text) == (PROBLEM, True)


@pytest.mark.parametrize(
    ("version", "found"), [("26.9.2.1", (26, 9)), ("24.8", (24, 8)), ("", (0,)), ("x.y", (0, 0)), ("26", (26,))]
)
def test_versions_of_clickhouse(version: str, found: tuple[int, ...]) -> None:
    assert parsed(version) == found
    assert older(version).startswith(f"ClickHouse {version} is older than ")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(Settings(data_dir=str(tmp_path)), ())


def test_a_check_that_hangs_is_a_problem_and_the_others_are_told(installation: Installation) -> None:
    goes_on = Event()

    def hangs(_: Installation) -> Iterator[Finding]:
        goes_on.wait()
        yield ok("late")

    found = list(
        examine(installation, {"first": lambda _: [ok("a")], "hangs": hangs, "last": lambda _: [ok("b")]}, 0.2)
    )
    goes_on.set()
    assert [(name, finding.state) for name, finding in found] == [("first", OK), ("hangs", PROBLEM), ("last", OK)]


def test_a_defect_of_a_check_is_raised(installation: Installation) -> None:
    def fails(_: Installation) -> Iterator[Finding]:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        list(examine(installation, {"fails": fails}))


def test_the_worst_state() -> None:
    assert worst([]) is OK
    assert worst([ok(""), problem(""), warning("")]) is PROBLEM
