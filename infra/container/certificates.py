"""A certificate authority of the stack's own, and the S3 server's certificate.

The authority's key is thrown away as soon as it has signed, so nobody can sign another server with
it: a renewal makes a new authority, and every client gets the new one with its next start.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=397)  # what clients accept of a server at most
RENEW = timedelta(days=30)  # before the end


def for_server(directory: Path, host: str) -> dict[str, str]:
    """Texts of ``HOST.pem``, ``HOST.key`` and ``trust.pem``; those in place while they last.

    ``trust.pem`` holds the public authorities and this one, because the clients read it in place of
    the system's.

    Args:
        directory: where earlier ones may lie.
        host: the server's name inside the container network; 127.0.0.1 is valid too.
    """
    names = (f"{host}.pem", f"{host}.key", "trust.pem")
    if all((directory / name).exists() for name in names):
        found = {name: (directory / name).read_text(encoding="utf-8") for name in names}
        certificate = x509.load_pem_x509_certificate(found[names[0]].encode())
        if certificate.not_valid_after_utc - datetime.now(UTC) > RENEW:
            return found
    return dict(zip(names, _make(host), strict=True))


def _make(host: str) -> tuple[str, str, str]:
    import certifi

    authority, server = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    issuer = _name("Ratchet's own authority")
    signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    root = (
        _begin(issuer, issuer, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), False)
        .sign(authority, hashes.SHA256())
    )
    local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        _begin(_name(host), issuer, server.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host), x509.DNSName("localhost"), local]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    key = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = Path(certifi.where()).read_text(encoding="utf-8")
    own = root.public_bytes(Encoding.PEM).decode()
    return certificate.public_bytes(Encoding.PEM).decode(), key, f"{public}\n{own}"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + VALID)
    )
