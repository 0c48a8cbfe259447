"""A certificate for the headset's browser, which shows XR only over https."""

import datetime
import ipaddress
import os
import socket
import ssl
from pathlib import Path

from gym_grasp.errors import DependencyError, GymGraspError

LIFETIME = datetime.timedelta(days=397)
"""Browsers refuse certificates that live longer."""
SPARE = datetime.timedelta(days=7)
"""A certificate is renewed so long before it ends."""


def lan_addresses() -> list[str]:
    """Return this machine's IPv4 addresses that others may reach it by, best guess first."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; only chooses a route
            found.append(probe.getsockname()[0])
        except OSError:
            pass
    try:
        entries = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except OSError:
        entries = []
    found += [str(entry[4][0]) for entry in entries]
    return [name for name in dict.fromkeys(found) if not ipaddress.ip_address(name).is_loopback]


def tls_context(folder: Path, addresses: list[str]) -> ssl.SSLContext:
    """Return a server's TLS settings with a self-signed certificate, made where there is none.

    Args:
        folder: holds `teleop-cert.pem` and `teleop-key.pem`; the key is readable by its owner only.
        addresses: IP addresses that the certificate has to name besides localhost.

    Raises:
        DependencyError: `cryptography` is not installed.
        GymGraspError: the folder cannot be written.
    """
    certificate, key = folder / "teleop-cert.pem", folder / "teleop-key.pem"
    try:
        if not _usable(certificate, key, addresses):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _generate(certificate, key, addresses)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    except ImportError as error:
        raise DependencyError(
            "--lan needs the package 'cryptography': pip install 'gym-grasp[teleop]'."
        ) from error
    except OSError as error:
        raise GymGraspError(f"Cannot keep the certificate in {folder}: {error}.") from error
    return context


def _usable(certificate: Path, key: Path, addresses: list[str]) -> bool:
    from cryptography import x509

    if not certificate.exists() or not key.exists() or key.stat().st_mode & 0o077:
        return False
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    known = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    now = datetime.datetime.now(datetime.UTC)
    return set(addresses) <= known and found.not_valid_after_utc - SPARE > now


def _generate(certificate: Path, key: Path, addresses: list[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gym-grasp teleoperation")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    names += [
        x509.IPAddress(ipaddress.ip_address(address)) for address in ["127.0.0.1", *addresses]
    ]
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key.unlink(missing_ok=True)  # an existing file would keep its permissions
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
