"""The configuration of Postfix and OpenDKIM: private files, loopback only, as fast as their documentation advises."""

from pathlib import Path

import pytest

from benchmarks.postfix import lacking
from benchmarks.postfix_files import PostfixPlan, holding, main_cf, master_cf, opendkim_conf, relaying

DIRECTORY = Path("/scratch/postfix")
PLAN = PostfixPlan(
    directory=DIRECTORY, port=2525, work=relaying("127.0.0.1:5000", connections=40, clients=20), signs=True
)
SERVICES = [line.split() for line in master_cf(PLAN).splitlines()]


def told(text: str, between: str) -> dict[str, str]:
    values = {}
    for line in text.splitlines():
        name, _, value = line.partition(between)
        assert name.rstrip(" =") not in values
        values[name.rstrip(" =")] = value
    return values


MAIN = told(main_cf(PLAN), " = ")
FILTER = told(opendkim_conf(PLAN, "opendkim:postfix"), " ")


def test_everything_of_postfix_is_in_its_own_directory() -> None:
    assert MAIN["queue_directory"] == "/scratch/postfix/queue"
    assert MAIN["data_directory"] == "/scratch/postfix/lib"
    assert Path(MAIN["maillog_file"]).is_relative_to(MAIN["maillog_file_prefixes"])
    for value in (MAIN["maillog_file"], FILTER["Socket"].partition(":")[2], FILTER["KeyFile"]):
        assert Path(value).is_relative_to(DIRECTORY)
    assert "/etc" not in main_cf(PLAN) + master_cf(PLAN) + opendkim_conf(PLAN, "a:b").replace(str(DIRECTORY), "")


def test_it_takes_mail_on_loopback_for_the_sink_alone() -> None:
    assert SERVICES[0] == ["127.0.0.1:2525", "inet", "n", "-", "n", "-", "-", "smtpd"]
    assert (MAIN["inet_interfaces"], MAIN["inet_protocols"]) == ("127.0.0.1", "ipv4")
    assert MAIN["relayhost"] == "[127.0.0.1]:5000"
    assert MAIN["mydestination"] == ""
    assert MAIN["mynetworks"] == "127.0.0.0/8"


def test_it_may_do_as_much_at_once_as_postray() -> None:
    assert MAIN["default_destination_concurrency_limit"] == MAIN["initial_destination_concurrency"] == "40"
    assert int(MAIN["default_process_limit"]) >= 40 + 20
    assert MAIN["in_flow_delay"] == "0s"


def test_it_keeps_its_connections_over_tls() -> None:
    assert MAIN["smtp_tls_security_level"] == "encrypt"
    assert MAIN["smtp_tls_connection_reuse"] == MAIN["smtp_connection_cache_on_demand"] == "yes"
    assert {"tlsproxy", "scache", "tlsmgr"} <= {service[-1] for service in SERVICES}


def test_every_message_is_signed_with_2048_bits_or_not_taken() -> None:
    assert MAIN["smtpd_milters"] == "unix:" + FILTER["Socket"].removeprefix("local:")
    assert MAIN["milter_default_action"] == "tempfail"
    assert (FILTER["Mode"], FILTER["Canonicalization"]) == ("s", "relaxed/relaxed")
    assert FILTER["SignatureAlgorithm"] == "rsa-sha256"
    assert FILTER["Domain"] == "mail.example.com"


def test_one_that_holds_all_mail_delivers_none_and_asks_for_tls() -> None:
    work = holding(DIRECTORY / "tls.pem", clients=20)
    found = told(main_cf(PostfixPlan(directory=DIRECTORY, port=2525, work=work)), " = ")
    assert found["smtpd_recipient_restrictions"] == "static:HOLD"
    assert found["smtpd_tls_security_level"] == "encrypt"
    assert found["smtpd_tls_chain_files"] == "/scratch/postfix/tls.pem"
    assert int(found["default_process_limit"]) >= 2 * 20
    assert "relayhost" not in found and "smtpd_milters" not in found


def test_no_service_is_chrooted() -> None:
    assert all(len(service) == 8 and service[4] == "n" for service in SERVICES)
    assert len({(service[0], service[1]) for service in SERVICES}) == len(SERVICES)


def test_nothing_is_lacking_where_all_is_installed() -> None:
    assert lacking(find=lambda name: f"/usr/sbin/{name}", user_id=0) is None


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        (("postfix",), "postfix is not installed here; on Debian: apt-get install"),
        (("opendkim",), "opendkim is not installed here; on Debian: apt-get install"),
        (
            ("postfix", "opendkim"),
            "postfix and opendkim are not installed here; on Debian: apt-get install",
        ),
    ],
)
def test_what_is_not_installed_is_named(absent: tuple[str, ...], told: str) -> None:
    reason = lacking(find=lambda name: None if name in absent else f"/usr/sbin/{name}", user_id=0)
    assert reason is not None
    assert reason.startswith(told)


def test_an_ordinary_user_cannot_start_it() -> None:
    assert "root" in (lacking(find=lambda name: name, user_id=1000) or "")
