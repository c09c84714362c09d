"""Fixtures: the root that machines boot from, made once a run, and machines."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from infra_scripts.ec2.access import certificate, parameter_names
from infra_scripts.ec2.pool import Ec2Stack
from tests.support.boot import cloud, ollama
from tests.support.boot.machine import Machine
from tests.support.boot.root import large_directory, make_root, why_not
from tests.support.infra.pools import pool

TOKEN = "5a" * 32
LIMITS = ("hearth-lifetime.timer", "hearth-watchdog.service")
ARCHIVE = "ollama-linux-amd64.tar.zst"
_seconds = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Ground:
    """The files that all machines of a test run share.

    Args:
        root: disk from which they boot.
        cloud: directory of the simulated cloud.
        certificate: certificate of their proxies.
    """

    root: Path
    cloud: Path
    certificate: str


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """Create the root and the cloud, and delete them after the test run."""
    if reason := why_not():
        pytest.skip(reason)
    with open_ground() as made:
        yield made


@contextmanager
def open_ground() -> Iterator[Ground]:
    """Create the root and the cloud, and delete them at the end."""
    with large_directory() as directory:
        directory.chmod(0o755)  # apt fetches as a user of its own
        public = _make_cloud(directory / "cloud")
        trusted = (directory / "cloud/certificate.pem").read_text()
        make_root(directory / "root", trusted, dict.fromkeys(cloud.NAMES, cloud.ADDRESS))
        yield Ground(directory / "root", directory / "cloud", public)


def _make_cloud(directory: Path) -> str:
    """Write the files of the cloud, and return the certificate of machines' proxies."""
    (directory / "served").mkdir(parents=True)
    for name, text in zip(("key.pem", "certificate.pem"), certificate(cloud.NAMES), strict=True):
        (directory / name).write_text(text)
    key, public = certificate()
    values = dict(zip(parameter_names("default"), (TOKEN, key, public), strict=True))
    (directory / "parameters.json").write_text(json.dumps(values))
    program = directory / "bin/ollama"
    program.parent.mkdir()
    shutil.copy(ollama.__file__, program)
    program.chmod(0o755)
    archive = directory / "served" / ARCHIVE
    subprocess.run(["tar", "--zstd", "-cf", archive, "-C", directory, "bin"], check=True)
    (directory / "served/sha256sum.txt").write_text(f"{sha256(archive.read_bytes()).hexdigest()}  ./{ARCHIVE}\n")
    return public


def stack(**changed: object) -> Ec2Stack:
    """A pool in token mode whose machines load their model, with some of its values changed."""
    load = json.dumps({"model": "qwen2.5vl:7b", "prompt": "", "options": {"num_ctx": 8192}})
    return pool(**{"access": "token", "load": load, **changed})


def limits_run(machine: Machine) -> bool:
    """Whether the watchdog and the hard limit are active."""
    return all(machine.state(unit, "ActiveState") == "active" for unit in LIMITS)


Maker = Callable[..., Machine]
Took = Callable[[str, float], None]


@pytest.fixture
def machine(ground: Ground) -> Iterator[Maker]:
    """Make machines, such as machine("i-...") or machine("i-...", image); they are deleted after the test."""
    with ExitStack() as ending:

        def make(instance: str, image: Path | None = None) -> Machine:
            directory = ending.enter_context(large_directory(ground.root.parent))
            made = Machine(ground.root, ground.cloud, directory, instance, image)
            ending.callback(made.close)
            return made

        yield make


@pytest.fixture(scope="session")
def baked(ground: Ground) -> Iterator[Path]:
    """Bake a disk."""
    with baked_disk(ground) as image:
        yield image


@contextmanager
def baked_disk(ground: Ground) -> Iterator[Path]:
    """Boot a machine until it serves, power it off, and yield its disk, as `hearth infra bake` does."""
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
    """Report a duration at the end of the test run."""
    told = request.config.stash.setdefault(_seconds, [])
    return lambda what, seconds: told.append(f"{seconds:6.1f} s  {what}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the duration of each boot."""
    for line in terminalreporter.config.stash.get(_seconds, []):
        terminalreporter.write_line(line)
