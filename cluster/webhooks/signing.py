"""Signatures of posts, and the secrets that they are made with.

Three schemes. Ours is ``t=<unix seconds>,v1=<hex>``: HMAC-SHA256 of ``<t>.<body>``, with the secret as its owner sees
it (``whsec_…``) for the key. Standard Webhooks (https://www.standardwebhooks.com, version 1.0.0) takes the bytes behind
``whsec_`` for the key. SendGrid's Event Webhook has ECDSA on P-256 with SHA-256 (FIPS 186-5), of the time and the body.
"""

import hmac
from base64 import b64decode, b64encode
from functools import lru_cache
from secrets import token_bytes

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from cluster.vault import Vault
from cluster.webhooks.endpoints import Dialect, Endpoint

PREFIX = "whsec_"
SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""

OURS = "X-ScaiSend-Signature"
STANDARD_ID = "webhook-id"
STANDARD_TIME = "webhook-timestamp"
STANDARD = "webhook-signature"
SENDGRID = "X-Twilio-Email-Event-Webhook-Signature"
SENDGRID_TIME = "X-Twilio-Email-Event-Webhook-Timestamp"

_ECDSA = ec.ECDSA(SHA256())


def new_secret() -> str:
    """A secret for HMAC."""
    return PREFIX + b64encode(token_bytes(SECRET_BYTES)).decode()


def new_key_pair() -> tuple[bytes, str]:
    """A private key for ECDSA (PKCS #8, DER), and its public key as endpoints keep it."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), b64encode(public).decode()


def signed(endpoint: Endpoint, vault: Vault, body: bytes, *, at: int, post_id: str) -> dict[str, str]:
    """The header fields that sign a post to an endpoint; none where it has no secret.

    ``at``: when it is posted, in Unix seconds. ``post_id``: by it the receiver tells that it got these events before,
    so it is the same in each attempt. While a former secret is valid, there is a signature by each. Raises WrongKey.
    """
    if endpoint.sealed_secret is None:
        return {}
    if endpoint.dialect is Dialect.SENDGRID:
        return _sendgrid(_private_key(vault, endpoint.sealed_secret), body, at)
    secrets = [_opened(vault, endpoint.sealed_secret)]
    if endpoint.sealed_former and endpoint.former_until and endpoint.former_until.timestamp() > at:
        secrets.append(_opened(vault, endpoint.sealed_former))
    fields = _ours(secrets, body, at)
    if endpoint.is_standard:
        fields |= _standard(secrets, body, at, post_id)
    return fields


def _ours(secrets: list[bytes], body: bytes, at: int) -> dict[str, str]:
    content = b"%d.%b" % (at, body)
    return {OURS: ",".join([f"t={at}", *(f"v1={hmac.digest(key, content, 'sha256').hex()}" for key in secrets)])}


def _standard(secrets: list[bytes], body: bytes, at: int, post_id: str) -> dict[str, str]:
    content = b"%b.%d.%b" % (post_id.encode(), at, body)
    keys = [b64decode(secret.removeprefix(PREFIX.encode())) for secret in secrets]
    signatures = [f"v1,{b64encode(hmac.digest(key, content, 'sha256')).decode()}" for key in keys]
    return {STANDARD_ID: post_id, STANDARD_TIME: str(at), STANDARD: " ".join(signatures)}


def _sendgrid(key: ec.EllipticCurvePrivateKey, body: bytes, at: int) -> dict[str, str]:
    signature = key.sign(b"%d%b" % (at, body), _ECDSA)
    return {SENDGRID: b64encode(signature).decode(), SENDGRID_TIME: str(at)}


# To open a secret takes ten times as long as to sign with it.


@lru_cache(maxsize=1024)
def _opened(vault: Vault, sealed: bytes) -> bytes:
    return vault.open(sealed)


@lru_cache(maxsize=1024)
def _private_key(vault: Vault, sealed: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(vault.open(sealed), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
