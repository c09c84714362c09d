"""Fixtures: the root that machines boot from, made once a run, and machines."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra_scripts.ec2.access import certificate, parameter_names
from infra_scripts.ec2.pool import Ec2Stack
from tests.support.boot import cloud, ollama
from tests.support.boot.machine import Machine
from tests.support.boot.root import large_directory, make_root, why_not
from tests.support.infra.pools import pool

TOKEN = "5a" * 32
LIMITS = ("hearth-lifetime.timer", "hearth-watchdog.service")
_ARCHIVE = "ollama-linux-amd64.tar.zst"
_seconds = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Ground:
    """What all machines of a run share.

    Args:
        root: the disk that they start from.
        cloud: the directory of what the cloud around them has.
        certificate: of their proxies.
    """

    root: Path
    cloud: Path
    certificate: str


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """The root and the cloud, which go with the run."""
    if reason := why_not():
        pytest.skip(reason)
    with large_directory() as directory:
        directory.chmod(0o755)  # apt fetches as a user of its own
        public = _make_cloud(directory / "cloud")
        trusted = (directory / "cloud/certificate.pem").read_text()
        make_root(directory / "root", trusted, dict.fromkeys(cloud.NAMES, cloud.ADDRESS))
        yield Ground(directory / "root", directory / "cloud", public)


def _make_cloud(directory: Path) -> str:
    """Write what the cloud serves, and return the certificate of machines' proxies."""
    (directory / "served").mkdir(parents=True)
    _write_certificate(directory)
    key, public = certificate()
    values = dict(zip(parameter_names("default"), (TOKEN, key, public), strict=True))
    (directory / "parameters.json").write_text(json.dumps(values))
    program = directory / "bin/ollama"
    program.parent.mkdir()
    shutil.copy(ollama.__file__, program)
    program.chmod(0o755)
    archive = directory / "served" / _ARCHIVE
    subprocess.run(["tar", "--zstd", "-cf", archive, "-C", directory, "bin"], check=True)
    (directory / "served/sha256sum.txt").write_text(f"{sha256(archive.read_bytes()).hexdigest()}  ./{_ARCHIVE}\n")
    return public


def _write_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "boot tests")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in cloud.NAMES]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (directory / "key.pem").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    (directory / "certificate.pem").write_bytes(signed.public_bytes(encoding))


def stack(**changed: object) -> Ec2Stack:
    """A pool in token mode, with some of its values changed."""
    return pool(**{"access": "token", **changed})


def limits_run(machine: Machine) -> bool:
    """Whether the watchdog and the hard limit are on."""
    return all(machine.state(unit, "ActiveState") == "active" for unit in LIMITS)


Maker = Callable[..., Machine]
Took = Callable[[str, float], None]


@pytest.fixture
def machine(ground: Ground) -> Iterator[Maker]:
    """Make machines, such as machine("i-...") or machine("i-...", image); they go with the test."""
    with ExitStack() as ending:

        def make(instance: str, image: Path | None = None) -> Machine:
            directory = ending.enter_context(large_directory(ground.root.parent))
            made = Machine(ground.root, ground.cloud, directory, instance, image)
            ending.callback(made.close)
            return made

        yield make


@pytest.fixture(scope="session")
def baked(ground: Ground) -> Iterator[Path]:
    """The disk of a machine that came to serving and was powered off, as `hearth infra bake` takes it."""
    with large_directory(ground.root.parent) as directory:
        first = Machine(ground.root, ground.cloud, directory, "i-0baked0000000000")
        try:
            first.boot(stack())
            first.wait_for("serving")
            first.power_off()
            yield first.image
        finally:
            first.close()


@pytest.fixture
def took(request: pytest.FixtureRequest) -> Took:
    """Have the end of the run tell how many seconds something took."""
    told = request.config.stash.setdefault(_seconds, [])
    return lambda what, seconds: told.append(f"{seconds:6.1f} s  {what}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the seconds of each boot."""
    for line in terminalreporter.config.stash.get(_seconds, []):
        terminalreporter.write_line(line)
