"""AWS for tests: moto's real server behind a front that breaks it on purpose, and machines that really answer."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.aws.front import AwsFront, aws_front
from tests.support.aws.machines import Machines, machines
from tests.support.aws.moto_server import Moto
from tests.support.aws.pool import Network, Pool, make_network, make_pool
from tests.support.commands import Hearth

LOOPBACK = ["127.0.0.0/8", "::1", "localhost"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with an AWS may connect to any loopback address: its machines have their own."""
    for item in items:
        if "aws" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))


@pytest.fixture(scope="session")
def second_octet() -> Iterator[int]:
    """Of the addresses of this session's machines, 77 unless another session on this computer has it."""
    for octet in range(77, 127):
        with suppress(OSError), socket.create_server((f"127.{octet}.255.254", 11434)):
            yield octet
            return
    raise RuntimeError("All networks of the harness are in use.")


@pytest.fixture
def clean_aws(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account of the machine reaches a test."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "BOTO", "S3_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def aws(moto: Moto, clean_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsFront]:
    """An AWS in which nothing was ever made, and to which this process and its children turn."""
    moto.reset()
    with aws_front(moto) as front:
        for name, value in front.environment.items():
            monkeypatch.setenv(name, value)
        yield front
        assert not front.misfits, "the front answered what AWS never does"


@pytest.fixture(name="machines")
def running_machines(aws: AwsFront, tmp_path: Path) -> Iterator[Machines]:
    """The machines of its instances."""
    with machines(aws, tmp_path) as found:
        yield found


@pytest.fixture
def network(aws: AwsFront, second_octet: int) -> Network:
    """A VPC with one subnet in each of three zones."""
    return make_network(aws, second_octet)


@pytest.fixture
def pools(aws: AwsFront, network: Network) -> Callable[..., Pool]:
    """Makes pools: pools("gpu", slots=4)."""
    return lambda *arguments, **options: make_pool(aws, network, *arguments, **options)


@pytest.fixture
def pool(pools: Callable[..., Pool]) -> Pool:
    """The pool `default`."""
    return pools()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file by which the engine of tests/support/ecs/engines.py holds pages, for machines that boot from now on."""
    file = tmp_path / "held"
    monkeypatch.setenv("ENGINE_HELD", str(file))
    return file


@pytest.fixture
def ec2(hearth: Hearth, aws: AwsFront, pool: Pool) -> Hearth:
    """The command, on EC2, with quick polls."""
    settings = {
        "HEARTH_BACKEND": "ec2",
        "HEARTH_MODEL": "tesseract:eng",
        "HEARTH_EC2__POLL_SECONDS": "0.2",
        "HEARTH_EC2__LEASE_SECONDS": "36000",
        "HEARTH_READ__RETRY_SECONDS": "3",
    }
    return Hearth(hearth.directory, {**hearth.environment, **aws.environment, **settings})
