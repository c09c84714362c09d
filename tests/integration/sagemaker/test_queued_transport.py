"""Ollama's client through an asynchronous endpoint of SageMaker, SIMULATED over the real container."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tasks.aws.client import Aws
from tasks.backends.sagemaker.async_transport import QueuedTransport
from tasks.core.errors import (
    CloudError,
    NoResponseError,
    TransientError,
)
from tasks.core.interruption import Interruption
from tasks.inference.limits import AnswerLimits
from tasks.ollama.client import OllamaClient
from tests.integration.sagemaker.transports import NAME, REQUEST, picture
from tests.support.aws.buckets import keys
from tests.support.aws.sagemaker import Endpoint
from tests.support.aws.wire import REGION
from tests.support.waiting import PATIENCE, until_async

pytestmark = pytest.mark.long("starts an endpoint for each test: up to 5 s")


class TestQueued:
    async def test_no_object_is_left_in_the_bucket(self, queued: Callable[..., OllamaClient], s3: Any):
        async with queued() as carried:
            await asyncio.gather(*(carried.generate(REQUEST, "read", (picture(side),)) for side in (3, 4, 5)))
        assert keys(s3) == set()

    async def test_a_request_expires_in_the_queue_with_the_runs_timeout(
        self, queued: Callable[..., OllamaClient], endpoint: Endpoint, s3: Any
    ):
        endpoint.copies = 0
        async with queued(timeout=90) as carried:
            with pytest.raises(NoResponseError):
                await carried.generate(REQUEST, "read", (picture(),), limits=AnswerLimits.within(3))
        (asked,) = endpoint.queued
        # The least that SageMaker takes is a minute.
        assert (asked["requestttlseconds"], asked["invocationtimeoutseconds"]) == ("60", "3")
        assert keys(s3) == set()

    async def test_a_cancelled_page_withdraws_its_request(
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

    @pytest.mark.always
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

    async def test_a_request_that_the_endpoint_failed_may_be_repeated(
        self, queued: Callable[..., OllamaClient], endpoint: Endpoint, s3: Any
    ):
        endpoint.seconds = 0.05
        async with queued() as carried:
            with pytest.raises(TransientError, match=r"the endpoint failed: .*timed out"):
                await carried.generate(REQUEST, "read", (picture(),))
        assert keys(s3) == set()

    async def test_a_missing_bucket_ends_the_run(self, endpoint: Endpoint, interruption: Interruption):
        way = QueuedTransport(Aws(REGION), NAME, "no-such-bucket", interruption=interruption)
        async with OllamaClient(f"sagemaker://{NAME}", timeout=PATIENCE, transport=way) as carried:
            with pytest.raises(CloudError, match="bucket"):
                await carried.version()
