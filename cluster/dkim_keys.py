"""The keys of DKIM signatures, RSA and Ed25519 (RFC 6376, RFC 8463), and the DNS records that publish them.

OpenSSL supplies the randomness. This module does not sign (``actors.compose.dkim`` does) and does not store keys.
"""

from base64 import b64encode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from cluster.message.header_fields import domain_name

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


def generate_rsa_key() -> tuple[bytes, str]:
    """A new RSA-2048 key: PKCS #8 PEM, and the ``p=`` value of its record. This takes about 50 ms."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return _pem(key), public_value(key)


def generate_ed25519_key() -> tuple[bytes, str]:
    """A new Ed25519 key: PKCS #8 PEM, and the ``p=`` value of its record."""
    key = Ed25519PrivateKey.generate()
    return _pem(key), public_value(key)


def load_private_key(pem: bytes) -> PrivateKey:
    """The key of an unencrypted PEM. Raises ValueError for any other kind of key.

    The numbers of an RSA key are not tested for being one, which would take 60 ms: the keys are ours, and their seal
    proves that they are unchanged (``cluster.vault``).
    """
    key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("neither an RSA nor an Ed25519 key")
    return key


def public_value(key: PrivateKey) -> str:
    """The ``p=`` value of a key: RFC 6376 §3.6.1 for RSA, the bare 32 bytes for Ed25519 (RFC 8463 §4.2)."""
    encoding, form = serialization.Encoding, serialization.PublicFormat
    if isinstance(key, RSAPrivateKey):
        return b64encode(key.public_key().public_bytes(encoding.DER, form.SubjectPublicKeyInfo)).decode()
    return b64encode(key.public_key().public_bytes(encoding.Raw, form.Raw)).decode()


def record_name(domain: str, selector: str) -> str:
    """The name of the key record (RFC 6376 §3.6.2.1)."""
    return f"{selector}._domainkey.{domain_name(domain)}"


def record_text(public_p_value: str) -> str:
    """The text of the key record. A zone file splits it into strings of at most 255 bytes; RSA-2048 needs two."""
    kind = "ed25519" if len(public_p_value) == 44 else "rsa"  # 32 bytes in base64; RSA keys are longer
    return f"v=DKIM1; k={kind}; p={public_p_value}"


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
