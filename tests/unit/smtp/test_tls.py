import ssl

import pytest

from actors.delivery.tls import client_context, server_name
from cluster.policy.tls_level import TlsLevel


@pytest.mark.parametrize("level", TlsLevel)
def test_only_verified_verifies(level: TlsLevel) -> None:
    context = client_context(level)
    assert (context.verify_mode is ssl.CERT_REQUIRED) == (level is TlsLevel.VERIFIED)
    assert context.check_hostname == (level is TlsLevel.VERIFIED)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_level_has_one_context() -> None:
    assert client_context(TlsLevel.OPPORTUNISTIC) is client_context(TlsLevel.OPPORTUNISTIC)


def test_the_server_name_has_no_final_dot() -> None:
    assert server_name("MX.example.org.") == "mx.example.org"
