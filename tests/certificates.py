"""Certificates of test authorities, valid and invalid."""

import datetime
import hashlib
import itertools
import ssl
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.policy.tls.dane import Tlsa

_numbers = itertools.count(1)
_DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate with its key, and the issuer certificates that a server sends with it."""

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, above: tuple[x509.Certificate, ...] = ()
    ) -> None:
        self.certificate = certificate
        self.key = key
        self.above = above

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def chain(self) -> list[bytes]:
        return [self.der, *(one.public_bytes(serialization.Encoding.DER) for one in self.above)]

    def save(self, folder: Path) -> Path:
        path = folder / f"{next(_numbers)}.pem"
        certificates = (self.certificate, *self.above)
        pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(pem + key)
        return path

    def server(self, folder: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.save(folder))
        return context

    def tlsa(self, usage: int, selector: int, matching: int) -> Tlsa:
        data = self.der
        if selector == 1:
            data = self.certificate.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        data = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}[matching]
        return Tlsa(usage, selector, matching, data)


class Authority(Certificate):
    @classmethod
    def root(cls, name: str = "root") -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(_build(name, key, name, key, authority=True), key)

    def intermediate(self, name: str = "intermediate") -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        return Authority(_build(name, key, self._name, self.key, authority=True), key, (self.certificate, *self.above))

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _build(names[0], key, self._name, self.key, authority=False, names=names, expired=expired)
        return Certificate(certificate, key, (self.certificate, *self.above))

    @property
    def _name(self) -> str:
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _build(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
    names: tuple[str, ...] = (),
    expired: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * _DAY)
        .not_valid_after(now - _DAY if expired else now + _DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if authority:
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        )
        usage |= {"key_cert_sign": True, "crl_sign": True, "encipher_only": False, "decipher_only": False}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    else:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
