"""Ollama's client through SageMaker: SIMULATED endpoints over the real container, and what each refusal means."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.aws.client import Aws
from tasks.backends.sagemaker.async_transport import QueuedTransport
from tasks.backends.sagemaker.realtime_transport import RealTimeTransport
from tasks.backends.sagemaker.refusals import refused
from tasks.core.errors import (
    CloudError,
    HearthError,
    MachineLostError,
    ModelError,
    PageError,
    PassingError,
    SilentError,
)
from tasks.core.interruption import Interruption
from tasks.ollama.client import GenerateRequest, OllamaClient
from tests.support.aws.buckets import BUCKET, keys, make_bucket
from tests.support.aws.container import MODEL, Container, container
from tests.support.aws.faults import denied, dropped, error, throttled
from tests.support.aws.front import AwsFront
from tests.support.aws.sagemaker import Endpoint
from tests.support.aws.sagemaker_answers import event
from tests.support.aws.wire import REGION
from tests.support.waiting import PATIENCE, until_async

NAME, COMPONENT = "hearth-test", "hearth-test-tesseract"
REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=99, keep_alive=600)


@pytest.fixture(scope="module")
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


def picture(side: int = 9) -> bytes:
    written = io.BytesIO()
    Image.new("L", (side, side), 255).save(written, "PNG")
    return written.getvalue()


class TestEither:
    async def test_every_call_of_the_warm_up_and_a_page_are_answered_as_by_the_server_itself(
        self, client: Callable[..., OllamaClient], served: Container
    ):
        async with client() as carried, OllamaClient(served.ollama) as direct:
            assert await carried.version() == await direct.version()
            assert await carried.models() == await direct.models()
            assert [each.name for each in await carried.loaded()] == [MODEL]
            assert await carried.details(MODEL) == await direct.details(MODEL)
            await carried.load(REQUEST)
            answer = await carried.generate(REQUEST, "read", (picture(),))
            assert answer.response == (await direct.generate(REQUEST, "read", (picture(),))).response
            assert answer.timing.total > 0

    async def test_ollamas_own_errors_mean_what_they_mean_without_sagemaker(self, client: Callable[..., OllamaClient]):
        async with client() as carried:
            with pytest.raises(ModelError, match="not found"):
                await carried.generate(GenerateRequest("no-such-model", 8192, 99, 600), "read", (picture(),))
            with pytest.raises(PageError):
                await carried.generate(REQUEST, "read", (b"no picture",))

    async def test_models_are_not_pulled_through_an_endpoint(self, client: Callable[..., OllamaClient]):
        async with client() as carried:
            with pytest.raises(ModelError, match="it serves tesseract:eng"):
                async for _ in carried.pull("another"):
                    pass

    async def test_a_deleted_endpoint_is_a_lost_machine(
        self, client: Callable[..., OllamaClient], aws: AwsFront, interruption: Interruption
    ):
        async with client() as carried:
            aws.sagemaker.endpoints.clear()
            with pytest.raises(MachineLostError, match="endpoint was deleted"):
                await carried.version()
        assert interruption.gone

    async def test_a_missing_permission_is_told_as_what_it_is(self, client: Callable[..., OllamaClient], aws: AwsFront):
        aws.inject(denied(), "InvokeEndpoint*", times=None)
        async with client() as carried:
            with pytest.raises(CloudError, match="AWS does not permit InvokeEndpoint"):
                await carried.version()


class TestRealTime:
    @pytest.mark.parametrize(
        "fault",
        [
            throttled(),
            error("ThrottlingException", "Rate exceeded", 429),
            error("ModelNotReadyException", "Loading.", 429),
            error("ServiceUnavailable", "Unavailable.", 503),
            error("InternalFailure", "Failure.", 500),
            error("InternalDependencyException", "Failure.", 530),
            dropped(),
        ],
        ids=lambda fault: fault.name,
    )
    async def test_what_passes_is_a_passing_error(
        self, real_time: Callable[..., OllamaClient], aws: AwsFront, fault: Any
    ):
        aws.inject(fault, "InvokeEndpoint*")
        async with real_time() as carried:
            with pytest.raises(PassingError):
                await carried.generate(REQUEST, "read", (picture(),))
            assert await carried.generate(REQUEST, "read", (picture(),))

    async def test_a_page_over_the_limit_is_refused_before_it_is_sent(
        self, real_time: Callable[..., OllamaClient], aws: AwsFront
    ):
        async with real_time(most_bytes=10_000) as carried:
            assert await carried.version()
            sent = len(aws.called("InvokeEndpointWithResponseStream"))
            with pytest.raises(PageError, match=r"has 0\.0 MB.*Lower --longest-side") as refusal:
                await carried.generate(REQUEST, "read", (b"\0" * 10_000,))
        assert refusal.value.final
        assert len(aws.called("InvokeEndpointWithResponseStream")) == sent

    async def test_a_limit_that_sagemaker_lowers_is_the_pages_error_too(
        self, real_time: Callable[..., OllamaClient], endpoint: Endpoint
    ):
        endpoint.most_bytes = 5_000
        async with real_time() as carried:
            with pytest.raises(PageError, match="content length exceeded"):
                await carried.generate(REQUEST, "read", (b"\0" * 10_000,))

    async def test_a_page_that_takes_longer_than_sagemaker_waits_may_be_sent_again_and_the_way_out_is_told(
        self, real_time: Callable[..., OllamaClient], endpoint: Endpoint
    ):
        endpoint.stream_seconds = 0.15
        async with real_time() as carried:
            with pytest.raises(PassingError, match="need an asynchronous endpoint"):
                await carried.generate(REQUEST, "read", (picture(),))

    async def test_a_page_may_take_longer_than_sagemaker_waits_for_a_silent_container(
        self, real_time: Callable[..., OllamaClient], endpoint: Endpoint, served: Container
    ):
        endpoint.seconds = 2  # far more than from one blank to the next
        served.hold()
        async with real_time() as carried:
            answering = asyncio.create_task(carried.generate(REQUEST, "read", (picture(),)))
            began = time.monotonic()
            await until_async(lambda: time.monotonic() - began > 2.2 and endpoint.parts > 3)
            served.let_go()
            assert await answering

    async def test_blanks_do_not_keep_a_call_waiting_for_longer_than_it_may(
        self, real_time: Callable[..., OllamaClient]
    ):
        async with real_time(timeout=0.15) as carried:
            with pytest.raises(SilentError):
                await carried.generate(REQUEST, "read", (picture(),))

    @pytest.mark.parametrize(
        ("garbled", "told"),
        [
            (b"no event stream", "makes no sense"),
            (event({}, b"{")[:-1] + b"x", "makes no sense"),
            (event({":message-type": "event", ":event-type": "PayloadPart"}, b"   "), "ended before the answer"),
            (b"", "ended before the answer"),
        ],
        ids=["no stream", "a wrong CRC", "blanks alone", "nothing"],
    )
    async def test_a_stream_that_makes_no_sense_may_be_asked_for_again(
        self, real_time: Callable[..., OllamaClient], aws: AwsFront, garbled: bytes, told: str
    ):
        async with real_time() as carried:
            assert await carried.version()
            aws.sagemaker.garbled = garbled
            with pytest.raises(PassingError, match=told):
                await carried.version()

    async def test_a_copy_is_waited_for_where_there_is_none(
        self, real_time: Callable[..., OllamaClient], endpoint: Endpoint
    ):
        endpoint.copies = 0
        async with real_time() as carried:
            with pytest.raises(PassingError, match="no capacity"):
                await carried.version()
        assert endpoint.refused == 1  # which sets off AWS's scaling out

    async def test_the_signature_is_one_that_aws_computes_too(
        self, real_time: Callable[..., OllamaClient], monkeypatch: pytest.MonkeyPatch
    ):
        async with real_time() as carried:
            assert await carried.version()
            monkeypatch.setattr("tests.support.aws.sagemaker.SECRET", "another")
            with pytest.raises(CloudError, match="signature"):
                await carried.version()


class TestQueued:
    async def test_nothing_is_left_in_the_bucket(self, queued: Callable[..., OllamaClient], s3: Any):
        async with queued() as carried:
            await asyncio.gather(*(carried.generate(REQUEST, "read", (picture(side),)) for side in (3, 4, 5)))
        assert keys(s3) == set()

    async def test_the_queue_forgets_a_request_when_its_run_does(
        self, queued: Callable[..., OllamaClient], endpoint: Endpoint, s3: Any
    ):
        endpoint.copies = 0
        async with queued(timeout=90) as carried:
            with pytest.raises(SilentError):
                await carried.generate(REQUEST, "read", (picture(),), seconds=3)
        (asked,) = endpoint.queued
        # The least that SageMaker takes is a minute.
        assert (asked["requestttlseconds"], asked["invocationtimeoutseconds"]) == ("60", "3")
        assert keys(s3) == set()

    async def test_a_cancelled_page_takes_its_request_back(
        self, queued: Callable[..., OllamaClient], endpoint: Endpoint, s3: Any
    ):
        endpoint.copies = 0
        async with queued() as carried:
            page = asyncio.create_task(carried.generate(REQUEST, "read", (picture(),)))
            await until_async(lambda: endpoint.queued)
            page.cancel()
            with pytest.raises(asyncio.CancelledError):
                await page
        assert keys(s3) == set()

    async def test_a_request_waits_in_the_queue_until_there_is_an_instance(
        self, queued: Callable[..., OllamaClient], endpoint: Endpoint
    ):
        endpoint.copies = 0
        async with queued() as carried:
            version = asyncio.create_task(carried.version())
            await until_async(lambda: endpoint.queued)
            endpoint.copies = 1
            assert await version
        assert len(endpoint.queued) == 1

    async def test_what_the_endpoint_reports_as_failed_may_be_sent_again(
        self, queued: Callable[..., OllamaClient], endpoint: Endpoint, s3: Any
    ):
        endpoint.seconds = 0.05
        async with queued() as carried:
            with pytest.raises(PassingError, match=r"the endpoint failed: .*timed out"):
                await carried.generate(REQUEST, "read", (picture(),))
        assert keys(s3) == set()

    async def test_a_bucket_that_is_not_there_ends_the_run(self, endpoint: Endpoint, interruption: Interruption):
        way = QueuedTransport(Aws(REGION), NAME, "no-such-bucket", interruption=interruption)
        async with OllamaClient(f"sagemaker://{NAME}", timeout=PATIENCE, transport=way) as carried:
            with pytest.raises(CloudError, match="bucket"):
                await carried.version()


WORDS = st.sampled_from(["", "ValidationError", "X not found.", "a#Throttling:b", "no capacity", "\u00e9", "0"])


@given(
    status=st.integers(400, 599),
    body=st.one_of(
        st.binary(max_size=50),
        st.fixed_dictionaries(
            {},
            optional={
                "Message": st.one_of(WORDS, st.integers()),
                "OriginalStatusCode": st.one_of(st.integers(), WORDS, st.none()),
                "OriginalMessage": st.one_of(WORDS, st.just('{"error": "x"}'), st.none()),
                "__type": WORDS,
            },
        ).map(lambda told: httpx.Response(400, json=told).content),
    ),
)
def test_whatever_sagemaker_says_it_is_an_answer_or_an_error_of_ours(status: int, body: bytes):
    try:
        answer = refused(httpx.Response(status, content=body), Interruption())
    except HearthError:
        return
    assert answer.is_error
    assert "error" in answer.json()
