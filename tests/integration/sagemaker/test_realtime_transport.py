"""Ollama's client through a real-time endpoint of SageMaker, SIMULATED over the real container."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tasks.core.errors import (
    CloudError,
    NoResponseError,
    PageError,
    TransientError,
)
from tasks.ollama.client import OllamaClient
from tests.integration.sagemaker.transports import REQUEST, picture
from tests.support.aws.container import Container
from tests.support.aws.faults import dropped, error, throttled
from tests.support.aws.front import AwsFront
from tests.support.aws.sagemaker import Endpoint
from tests.support.aws.sagemaker_answers import event
from tests.support.waiting import until_async

pytestmark = pytest.mark.long("an endpoint for each fault: 14 s in all")


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
    async def test_transient_refusals_are_transient_errors(
        self, real_time: Callable[..., OllamaClient], aws: AwsFront, fault: Any
    ):
        aws.inject(fault, "InvokeEndpoint*")
        async with real_time() as carried:
            with pytest.raises(TransientError):
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

    async def test_a_page_over_a_lowered_limit_of_sagemaker_fails(
        self, real_time: Callable[..., OllamaClient], endpoint: Endpoint
    ):
        endpoint.most_bytes = 5_000
        async with real_time() as carried:
            with pytest.raises(PageError, match="content length exceeded"):
                await carried.generate(REQUEST, "read", (b"\0" * 10_000,))

    async def test_a_page_over_sagemakers_time_limit_may_be_retried_and_the_remedy_is_shown(
        self, real_time: Callable[..., OllamaClient], endpoint: Endpoint
    ):
        endpoint.stream_seconds = 0.15
        async with real_time() as carried:
            with pytest.raises(TransientError, match="need an asynchronous endpoint"):
                await carried.generate(REQUEST, "read", (picture(),))

    async def test_a_container_is_never_silent_while_it_works_on_a_page(
        self, real_time: Callable[..., OllamaClient], endpoint: Endpoint, served: Container
    ):
        """SageMaker limits the silence alone: the page may take longer."""
        served.hold()
        async with real_time() as carried:
            answering = asyncio.create_task(carried.generate(REQUEST, "read", (picture(),)))
            await until_async(lambda: endpoint.parts > 3)
            served.let_go()
            assert await answering

    async def test_blanks_do_not_extend_the_time_limit_of_a_call(self, real_time: Callable[..., OllamaClient]):
        async with real_time(timeout=0.15) as carried:
            with pytest.raises(NoResponseError):
                await carried.generate(REQUEST, "read", (picture(),))

    @pytest.mark.parametrize(
        ("garbled", "told"),
        [
            (b"no event stream", "cannot be read"),
            (event({}, b"{")[:-1] + b"x", "cannot be read"),
            (event({":message-type": "event", ":event-type": "PayloadPart"}, b"   "), "ended before the answer"),
            (b"", "ended before the answer"),
        ],
        ids=["no stream", "a wrong CRC", "blanks alone", "nothing"],
    )
    async def test_a_damaged_stream_may_be_requested_again(
        self, real_time: Callable[..., OllamaClient], aws: AwsFront, garbled: bytes, told: str
    ):
        async with real_time() as carried:
            assert await carried.version()
            aws.sagemaker.garbled = garbled
            with pytest.raises(TransientError, match=told):
                await carried.version()

    async def test_a_run_without_a_copy_waits_for_one(self, real_time: Callable[..., OllamaClient], endpoint: Endpoint):
        endpoint.copies = 0
        async with real_time() as carried:
            with pytest.raises(TransientError, match="no capacity"):
                await carried.version()
        assert endpoint.refused == 1  # which sets off AWS's scaling out

    async def test_requests_are_signed_as_aws_requires(
        self, real_time: Callable[..., OllamaClient], monkeypatch: pytest.MonkeyPatch
    ):
        async with real_time() as carried:
            assert await carried.version()
            monkeypatch.setattr("tests.support.aws.sagemaker.SECRET", "another")
            with pytest.raises(CloudError, match="signature"):
                await carried.version()
