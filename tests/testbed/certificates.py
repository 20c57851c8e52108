"""Certificates for servers of the test bed: signed by themselves, or by an authority."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


def certificate(directory: Path, address: str) -> tuple[Path, Path]:
    """Make a certificate for an IP address that has signed itself, and its key; their files."""
    key = ec.generate_private_key(ec.SECP256R1())
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(signed(key, address, key, address, authority=True))
    write_key(key, files[1])
    return files


def issued(directory: Path, address: str) -> tuple[Path, Path, Path]:
    """Make an authority, and a certificate for an IP address that it has signed; the files of the
    authority's certificate, the other one, and its key."""
    key, above = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    files = directory / "authority.pem", directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(signed(above, "authority", above, "authority", authority=True))
    files[1].write_bytes(signed(key, address, above, "authority", authority=False))
    write_key(key, files[2])
    return files


def signed(key: Key, name: str, by: Key, issuer: str, *, authority: bool) -> bytes:
    """Make a certificate for a key and a name, which is an IP address or that of an authority."""
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if name != "authority":
        address = x509.IPAddress(ip_address(name))
        made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return made.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def called(name: str) -> x509.Name:
    """A name as certificates have it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def write_key(key: Key, file: Path) -> None:
    """Write down a private key."""
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
