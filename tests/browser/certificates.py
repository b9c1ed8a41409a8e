"""A certificate authority that lives as long as the tests, and one certificate that it signs."""

from __future__ import annotations

import hashlib
import ssl
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate for some hosts and for 127.0.0.1."""

    authority: Path
    chain: Path
    key: Path
    pin: str  # SHA-256 of its public key, base64, as browsers name it

    def server_context(self) -> ssl.SSLContext:
        """Return what a server needs that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return what a client needs that trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self.authority))


def make_certificate(folder: Path, hosts: list[str]) -> Certificate:
    """Make an authority and a certificate for `hosts`, and write them into `folder`."""
    issuer, issuer_key = _name("Keyferry's tests"), ec.generate_private_key(ec.SECP256R1())
    authority = (
        _draft(issuer, issuer, issuer_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(issuer_key, SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [*map(x509.DNSName, hosts), x509.IPAddress(IPv4Address("127.0.0.1"))]
    leaf = (
        _draft(_name(hosts[0]), issuer, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer_key, SHA256())
    )
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = b64encode(hashlib.sha256(spki).digest()).decode()
    made = Certificate(folder / "ca.pem", folder / "chain.pem", folder / "key.pem", pin)
    made.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    chain = [leaf.public_bytes(Encoding.PEM), authority.public_bytes(Encoding.PEM)]
    made.chain.write_bytes(b"".join(chain))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=7))
    )
