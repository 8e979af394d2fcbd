import gc
import ssl
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from actors.smtp.tls import SESSION_S, ResumingContext, client_context, server_name
from cluster.policy.tls.level import TlsLevel
from cluster.smtpd.certificate import server_context


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


# Sessions

NAME = "mx.example.org"


class Host:
    """A TLS server with an in-memory transport."""

    def __init__(self, folder: Path, version: ssl.TLSVersion, tickets: bool) -> None:
        self.context = server_context("localhost", folder)
        self.context.maximum_version = version
        if not tickets:
            self.context.options |= ssl.OP_NO_TICKET
            self.context.num_tickets = 0

    def meet(self, client: ssl.SSLContext) -> ssl.SSLObject:
        """An established session with it, after its tickets have arrived."""
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(to_client, to_server, server_hostname=NAME)
        its = self.context.wrap_bio(to_server, to_client, server_side=True)
        steps: tuple[Callable[[], object], ...] = (ours.do_handshake, its.do_handshake)
        for step in steps * 3:
            with suppress(ssl.SSLWantReadError):
                step()
        its.write(b"220 ")
        ours.read(4)
        return ours


def resuming(now: list[float], sessions: int = 2) -> ResumingContext:
    context = ResumingContext(sessions=sessions, now=lambda: now[0])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_a_session_is_offered_again_and_again_but_not_for_ever(tmp_path: Path) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        host, now = Host(tmp_path, version, tickets=True), [0.0]
        context = resuming(now)
        reused = []
        for now[0] in (0.0, 1.0, SESSION_S - 1, SESSION_S, SESSION_S + 1):
            tls = host.meet(context)
            context.remember(NAME, tls)
            reused.append(tls.session_reused)
        assert reused == [False, True, True, False, True]


def test_a_connection_that_is_gone_is_still_resumed(tmp_path: Path) -> None:
    host, context = Host(tmp_path, ssl.TLSVersion.TLSv1_3, tickets=True), resuming([0.0])
    context.remember(NAME, host.meet(context))
    gc.collect()
    assert host.meet(context).session_reused


def test_what_was_forgotten_is_not_offered(tmp_path: Path) -> None:
    host, context = Host(tmp_path, ssl.TLSVersion.TLSv1_3, tickets=True), resuming([0.0])
    context.remember(NAME, host.meet(context))
    context.forget(NAME)
    assert not host.meet(context).session_reused


def test_a_host_that_gives_no_tickets_is_looked_at_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[ssl.SSLObject] = []

    def session(tls: ssl.SSLObject) -> ssl.SSLSession | None:
        taken.append(tls)
        return None

    monkeypatch.setattr(ssl.SSLObject, "session", property(session, lambda tls, value: None))
    host, now = Host(tmp_path, ssl.TLSVersion.TLSv1_3, tickets=False), [0.0]
    context = resuming(now)
    looks = []
    for now[0] in (0.0, 1.0, 2.0, SESSION_S, SESSION_S + 1):
        context.remember(NAME, host.meet(context))
        looks.append(len(taken))
    assert looks == [0, 1, 1, 1, 2]


def test_a_retired_context_is_let_go_of(tmp_path: Path) -> None:
    host, context = Host(tmp_path, ssl.TLSVersion.TLSv1_3, tickets=True), resuming([0.0])
    context.remember(NAME, host.meet(context))
    context.retire()
    context.remember(NAME, host.meet(context))
    gone = weakref.ref(context)
    del context
    gc.collect()
    assert gone() is None
