"""When certificates end, and whether they fit."""

from datetime import datetime, timedelta

from msgspec import Struct

from cluster.doctor.findings import Finding, ok, problem, warning

SOON = timedelta(days=21)
"""Services that renew certificates do so a month before their end."""


class Certificate(Struct, frozen=True):
    """``use``: the setting that names it. ``fault``: why it cannot be used; "" for none. ``host``: the name that it is
    shown under; "" where that is not known."""

    use: str
    place: str
    fault: str = ""
    begins: datetime | None = None
    ends: datetime | None = None
    names: tuple[str, ...] = ()
    host: str = ""


def of_certificate(found: Certificate, now: datetime) -> Finding:
    told = f"the certificate of {found.use} ({found.place})"
    if found.fault:
        return problem(f"{told} cannot be used: {found.fault}")
    assert found.begins is not None and found.ends is not None
    if now >= found.ends:
        return problem(f"{told} has ended, {found.ends:%Y-%m-%d %H:%M} UTC: renew it; a changed file is read by itself")
    if now < found.begins:
        return problem(f"{told} begins only at {found.begins:%Y-%m-%d %H:%M} UTC: see this machine's clock")
    if found.ends - now < SOON:
        return warning(f"{told} ends in {(found.ends - now).days} days: renew it; a changed file is read by itself")
    if found.host and not any(_covers(name.lower(), found.host.lower()) for name in found.names):
        return warning(
            f"{told} is for {', '.join(found.names) or 'no name'}, not for {found.host}: get one for that name"
        )
    return ok(f"{told} holds until {found.ends:%Y-%m-%d}")


def _covers(name: str, host: str) -> bool:
    """RFC 6125 §6.4.3: a wildcard stands for one label."""
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return name == host
