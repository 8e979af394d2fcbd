"""A small message for proving that a published DKIM key fits the private key. It is never sent."""

from actors.compose.dkim import Signer, body_hash, sign_all
from cluster.dkim_keys import load_private_key

_BODY = b"This message proves a DKIM key.\r\n"
_SIGNED_AT = 1_000_000_000
"""The time does not matter: the signature has no end."""


def signed_probe(domain: str, selector: str, private_key: bytes) -> bytes:
    """A message from ``domain`` that the signer of outgoing mail has signed. ``private_key``: PEM."""
    header_fields = [(b"From", f"<postmaster@{domain}>".encode()), (b"Subject", b"Probe")]
    signer = Signer(domain, {selector: load_private_key(private_key)})
    made = sign_all(signer.unsigned(header_fields, body_hash(_BODY), _SIGNED_AT))
    fields = [(b"DKIM-Signature", value) for value in made] + header_fields
    return b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n" + _BODY
