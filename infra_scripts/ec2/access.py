"""The secrets of token mode: a bearer token, and a key and certificate that only this pool's callers trust."""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra_scripts.common.clients import Aws, Listener
from infra_scripts.common.parameters import parameter_exists, put_parameter

HOST = "hearth"
"""The certificate's name, which callers check whatever the machine's address is."""
_YEARS = 10
_UNUSED = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only")
_USAGE = {"digital_signature": True, "key_cert_sign": True, "decipher_only": False, **dict.fromkeys(_UNUSED, False)}


def parameter_names(pool: str) -> tuple[str, ...]:
    """Return the parameters outside the stack: CloudFormation cannot create secrets."""
    return tuple(f"/hearth/{pool}/{name}" for name in ("token", "tls-key", "tls-certificate"))


def certificate(hosts: Iterable[str] = (HOST,)) -> tuple[str, str]:
    """Return a new key and a self-signed certificate for host names, as PEM."""
    hosts = tuple(hosts)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        # Python 3.13 and later refuse an authority's certificate without these extensions.
        .add_extension(x509.KeyUsage(**_USAGE), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    unlocked = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
    return private.decode(), signed.public_bytes(serialization.Encoding.PEM).decode()


def ensure_secrets(aws: Aws, pool: str, listener: Listener) -> None:
    """Create the token, key and certificate if they are missing; existing ones are kept."""
    token, key, public = parameter_names(pool)
    if not parameter_exists(aws, token):
        put_parameter(aws, pool, token, secrets.token_hex(32), secret=True)
        listener(f"A bearer token was created: {token}.")
    # Key and certificate belong together.
    if not (parameter_exists(aws, key) and parameter_exists(aws, public)):
        private, signed = certificate()
        put_parameter(aws, pool, key, private, secret=True)
        put_parameter(aws, pool, public, signed, secret=False)
        listener(f"A certificate was created: {public}.")
