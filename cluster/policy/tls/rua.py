"""Where a domain wants its TLS reports: the TXT record at ``_smtp._tls`` (RFC 8460 §3). Pure.

A domain's owner chooses every octet of the record, and may name others as receivers. So only a few destinations of a
record count, and an ambiguous one is left out, with a reason that people can read.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes, urlsplit

from msgspec import Struct

from cluster.policy.routes import mx
from cluster.policy.routes.domains import mail_domain

MOST_DESTINATIONS = 4
"""Of a record; each gets the same report."""
LONGEST_URI = 1000
LONGEST_FAULT = 300
MOST_FAULTS = 10
LONGEST_LOCAL_PART = 64
"""RFC 5321 §4.5.3.1.1."""

_VERSION = re.compile(r"v=TLSRPTv1[ \t]*(?:;|\Z)")
_LOCAL_PART = re.compile(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
"""RFC 5321 §4.1.2, Dot-string."""
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


class BadUri(ValueError):
    """A destination that reports cannot be sent to; the message says why."""


class Destination(Struct, frozen=True):
    """One destination of reports."""

    uri: str
    """In the form in which it is compared and stored: ``mailto:ADDRESS``, or an https URL."""
    email: str = ""
    """The address of a ``mailto:`` URI; "" for an https URL."""


class ReportRecord(Struct, frozen=True):
    """What a domain asks for."""

    destinations: tuple[Destination, ...]
    faults: tuple[str, ...] = ()
    """Why further ones that it names get no report."""


def read_record(texts: Iterable[str]) -> ReportRecord | None:
    """The record among the TXT records of ``_smtp._tls.DOMAIN``; None where there is none. More than one ask for no
    reports (RFC 8460 §3)."""
    records = [text for text in texts if _VERSION.match(text)]
    if not records:
        return None
    if len(records) > 1:
        return ReportRecord((), (f"there are {len(records)} records, and only one may ask for reports",))
    fields = [field.strip(" \t") for field in records[0].split(";")]
    named = [field[4:] for field in fields if field.startswith("rua=")]
    if len(named) != 1:
        return ReportRecord((), (f"the record has {len(named)} fields rua, not one",))
    found: dict[Destination, None] = {}
    faults: list[str] = []
    for uri in named[0].split(","):
        try:
            destination = read_uri(uri.strip(" \t"))
        except BadUri as fault:
            faults.append(str(fault)[:LONGEST_FAULT])
            continue
        if destination not in found and len(found) == MOST_DESTINATIONS:
            faults.append(f"only the first {MOST_DESTINATIONS} destinations get a report")
            break
        found[destination] = None
    return ReportRecord(tuple(found), tuple(dict.fromkeys(faults))[:MOST_FAULTS])


def read_uri(uri: str) -> Destination:
    """The destination that a URI names. Raises BadUri."""
    if len(uri) > LONGEST_URI:
        raise BadUri(f"{uri[:40]!r}…: the URI is longer than {LONGEST_URI} characters")
    if not re.fullmatch(r"[!-~]+", uri):
        raise BadUri(f"{uri!r}: this is no URI")
    scheme, _, rest = uri.partition(":")
    match scheme.lower():
        case "mailto":
            return _mail(uri, rest)
        case "https":
            return _https(uri)
    raise BadUri(f"{uri!r}: only mailto and https count")


def _mail(uri: str, rest: str) -> Destination:
    """Header fields of a ``mailto:`` URI (RFC 6068) are ignored: the form of the mail is fixed."""
    local_part, at, host = unquote_to_bytes(rest.partition("?")[0].partition("#")[0]).rpartition(b"@")
    if not at or len(local_part) > LONGEST_LOCAL_PART or not _LOCAL_PART.fullmatch(local_part) or not host.isascii():
        raise BadUri(f"{uri!r}: this is no plain address")
    domain = mail_domain(host.decode())
    if domain is None:
        raise BadUri(f"{uri!r}: the address has no domain that mail goes to")
    email = f"{local_part.decode()}@{domain}"
    return Destination(f"mailto:{email}", email)


def _https(uri: str) -> Destination:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadUri(f"{uri!r}: {error}") from error
    if "@" in parts.netloc or "\\" in uri:
        raise BadUri(f"{uri!r}: a user, a password or a backslash is not taken")
    # Programs read names of digits alone, such as 127.1, as addresses.
    if not isinstance(mx.lookup_name(host), str) or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise BadUri(f"{uri!r}: the host is no name in the DNS")
    if port == 0:
        raise BadUri(f"{uri!r}: there is no port 0")
    return Destination(parts._replace(scheme="https", netloc=parts.netloc.lower(), fragment="").geturl())
