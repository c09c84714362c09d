"""One container for all, SIMULATED endpoints over it, and Ollama's clients through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.aws.client import Aws
from tasks.backends.sagemaker.async_transport import QueuedTransport
from tasks.backends.sagemaker.realtime_transport import RealTimeTransport
from tasks.core.interruption import Interruption
from tasks.ollama.client import OllamaClient
from tests.integration.sagemaker.transports import COMPONENT, NAME
from tests.support.aws.buckets import BUCKET, make_bucket
from tests.support.aws.container import Container, container
from tests.support.aws.front import AwsFront
from tests.support.aws.sagemaker import Endpoint
from tests.support.aws.wire import REGION
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container whose pages take 0.3 s."""
    how = {"engine": "held", "seconds": 0.3, "hearth_beat_seconds": 0.05}
    with container(tmp_path_factory.mktemp("container"), **how) as started:
        yield started


@pytest.fixture
def endpoint(aws: AwsFront, served: Container) -> Endpoint:
    aws.sagemaker.endpoints[NAME] = Endpoint(served.url, component=COMPONENT)
    return aws.sagemaker.endpoints[NAME]


@pytest.fixture
def interruption() -> Interruption:
    return Interruption()


@pytest.fixture
def real_time(endpoint: Endpoint, interruption: Interruption) -> Callable[..., OllamaClient]:
    """Clients of the real-time endpoint."""

    def client(most_bytes: int = 25_000_000, timeout: float = PATIENCE) -> OllamaClient:
        way = RealTimeTransport(Aws(REGION), NAME, COMPONENT, most_bytes=most_bytes, interruption=interruption)
        return OllamaClient(f"sagemaker://{COMPONENT}", timeout=timeout, transport=way)

    return client


@pytest.fixture
def s3(aws: AwsFront) -> Any:
    return make_bucket(aws)


@pytest.fixture
def queued(endpoint: Endpoint, interruption: Interruption, s3: Any) -> Callable[..., OllamaClient]:
    """Clients of the asynchronous endpoint."""

    def client(timeout: float = PATIENCE) -> OllamaClient:
        way = QueuedTransport(Aws(REGION), NAME, BUCKET, interruption=interruption)
        return OllamaClient(f"sagemaker://{NAME}", timeout=timeout, transport=way)

    return client


@pytest.fixture(params=["real_time", "queued"])
def client(request: pytest.FixtureRequest) -> Callable[..., OllamaClient]:
    """Clients of either kind."""
    made: Callable[..., OllamaClient] = request.getfixturevalue(request.param)
    return made
