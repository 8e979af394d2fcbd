"""Bad certificates, and STARTTLS stripped, refused, broken or injected into: what each TLS level does then.

RFC 3207 §4 leaves the choice to the client: opportunistic mail goes on as it can (RFC 7435), mail that needs TLS waits
for it. No such failure is a bounce, and where the level forbids the session the host sees no sender and no recipient.
"""

from pathlib import Path

from msgspec.structs import replace

from cluster.journal.journal import Journal
from cluster.policy.tls.level import TlsLevel
from cluster.settings import TlsSettings
from tests.certificates import Authority
from tests.integration.delivery.hostile import (
    IN_CHUNKS,
    NO_TLS,
    SETTINGS,
    SMTP,
    Case,
    Ending,
    addressed,
    deferred,
    ending,
    first_events,
    hosts,
    judged,
)
from tests.integration.smtp.peer import Answer, Peer, Step

RULES = "\n".join(f'[[rule]]\nname = "{level}"\ndomain = "*-{level}.test"\ntls = "{level}"' for level in TlsLevel)
"""The level of a domain is in its name."""
IMPATIENT = replace(SMTP, greeting_timeout_s=1.0)
ONE_CONNECTION = replace(SETTINGS, connections_per_site=1, messages_per_connection=1)

NONE, OPPORTUNISTIC, REQUIRED, VERIFIED = TlsLevel
CLOSING = deferred("system_failure", 60, "421 4.3.2 closing")
REFUSED = deferred("tls_failure", 60, "454 4.7.0 TLS not available")

FAULTS: dict[str, Answer | None] = {
    "stripped": None,
    "refused": (b"454 4.7.0 TLS not available\r\n",),
    "closing": (b"421 4.3.2 closing\r\n",),
    "dropped": (Step.DROP,),
    "silent": (Step.STALL,),
    "garbage": (b"220 go\r\n", b"this is no handshake\r\n", Step.STALL),
    "halted": (b"220 go\r\n", Step.STALL),
    "hung-up": (b"220 go\r\n", Step.DROP),
    "injected": (b"220 go\r\n250-evil.test\r\n250-AUTH PLAIN\r\n250 ok\r\n554 5.7.1 no\r\n",),
}
"""The answer to STARTTLS; None: it is not offered."""


def ends(fault: str, level: TlsLevel) -> Ending:
    if level is NONE or fault == "injected":
        return IN_CHUNKS
    if level is OPPORTUNISTIC:
        return IN_CHUNKS
    if fault == "closing":
        return CLOSING
    return REFUSED if fault == "refused" else NO_TLS


def tls_settings(authority: Authority, folder: Path) -> TlsSettings:
    return TlsSettings(ca_file=str(authority.save(folder)), mta_sts=False)


async def test_certificates_under_each_level(journal: Journal, tmp_path: Path) -> None:
    authority, stranger = Authority.root(), Authority.root("stranger")
    cases = {}
    for level in TlsLevel:
        for kind in ("good", "self-signed", "expired", "misnamed"):
            name = f"{kind}-{level}"
            issuer = stranger if kind == "self-signed" else authority
            host = f"{'other' if kind == 'misnamed' else 'mx0'}.{name}.test"
            certificate = stranger if kind == "self-signed" else issuer.issue(host, expired=kind == "expired")
            is_refused = level is VERIFIED and kind != "good"
            cases[name] = Case(tls=certificate.server(tmp_path), ends=NO_TLS if is_refused else IN_CHUNKS)
    async with hosts(journal, tls=tls_settings(authority, tmp_path)) as there:
        await there.world.put_in_force(RULES)
        peers = await judged(there, cases)
    for name, peer in peers.items():
        is_encrypted = not name.endswith("-none")
        assert peer.encrypted_mail == ([is_encrypted] if cases[name].ends is IN_CHUNKS else []), name


async def test_starttls_that_fails_under_each_level(journal: Journal, tmp_path: Path) -> None:
    authority = Authority.root()
    cases = {}
    for level in TlsLevel:
        for fault, answer in FAULTS.items():
            name = f"{fault}-{level}"
            cases[name] = Case(
                script={"STARTTLS": answer} if answer else {},
                tls=authority.issue(f"mx0.{name}.test").server(tmp_path) if answer else None,
                ends=ends(fault, level),
            )
    async with hosts(journal, smtp=IMPATIENT, tls=tls_settings(authority, tmp_path)) as there:
        await there.world.put_in_force(RULES)
        peers = await judged(there, cases)
    for name, peer in peers.items():
        is_encrypted = name.startswith("injected-") and not name.endswith("-none")
        assert peer.encrypted_mail == ([is_encrypted] if cases[name].ends is IN_CHUNKS else []), name
        assert "AUTH" not in peer.verbs


async def test_a_host_on_which_tls_breaks_is_tried_with_it_once(journal: Journal, tmp_path: Path) -> None:
    authority = Authority.root()
    peer = Peer({"STARTTLS": (b"220 go\r\n", Step.DROP)}, tls=authority.issue("mx0.example.test").server(tmp_path))
    async with hosts(journal, ONE_CONNECTION, tls=tls_settings(authority, tmp_path)) as there:
        await there.host("example.test", peer)
        for _ in range(3):
            message = addressed("example.test")
            await there.world.accept(message)
            ((event,),) = (await first_events(there.world, [message])).values()
            assert ending(event) == IN_CHUNKS
        assert (peer.verbs.count("STARTTLS"), peer.connections) == (1, 4)
