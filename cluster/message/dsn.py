"""What the envelope of a submitted message says of reports on its delivery (RFC 3461)."""

from msgspec import Struct, field

from cluster.message import xtext


class Dsn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the submitter of a message said of reports on its delivery (RFC 3461). Recipients are in the form of
    ``cluster.suppression.address.compared``."""

    envelope_id: str = ""
    """ENVID, decoded."""
    original_recipients: dict[str, str] = field(default_factory=dict)
    """ORCPT by recipient: a type, ``;`` and xtext."""
    never: tuple[str, ...] = ()
    """The recipients of whom no report is to be sent."""


def original_address(original: str) -> str:
    """The address that an ORCPT gives, decoded."""
    return xtext.decoded(original.partition(";")[2])
