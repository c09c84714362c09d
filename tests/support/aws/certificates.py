"""What `hearth infra up` keeps in SSM for a pool that is reached with a token."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "hearth"


def make_secrets(pool: str) -> dict[str, str]:
    """A token, and a certificate for DNS:hearth that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return {
        f"/hearth/{pool}/token": secrets.token_urlsafe(32),
        f"/hearth/{pool}/tls-key": key.private_bytes(encoding, form, serialization.NoEncryption()).decode(),
        f"/hearth/{pool}/tls-certificate": certificate.public_bytes(encoding).decode(),
    }
