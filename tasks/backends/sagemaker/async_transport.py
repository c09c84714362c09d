"""Requests of Ollama's client carried through an asynchronous endpoint: there by S3 and its queue, back by S3."""

from __future__ import annotations

import asyncio
import math
import uuid
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from tasks.aws.client import Aws, ask
from tasks.backends.sagemaker.envelope import enveloped, opened, saying
from tasks.backends.sagemaker.refusals import judged
from tasks.core.errors import CloudError
from tasks.core.interruption import Interruption

PREFIX = "requests/"
_FIRST_POLL_SECONDS = 0.25
_LAST_POLL_SECONDS = 1.0
_SLOWER = 1.5
_FORGET_SECONDS = 5.0
# Bounds of RequestTTLSeconds and InvocationTimeoutSeconds (API_runtime_InvokeEndpointAsync).
_LEAST_TTL, _MOST_TTL, _MOST_INVOCATION = 60, 21_600, 3600
_ABSENT = {"NoSuchKey", "404"}


class QueuedTransport(httpx.AsyncBaseTransport):
    """See the module. What a request leaves in the bucket goes with its answer; a lifecycle rule deletes what is left.

    Args:
        aws: the account.
        endpoint: its name.
        bucket: where requests go; answers go where the endpoint says.
        interruption: is told when the endpoint is gone.
    """

    def __init__(self, aws: Aws, endpoint: str, bucket: str, *, interruption: Interruption) -> None:
        self._aws = aws
        self._endpoint = endpoint
        self._bucket = bucket
        self._interruption = interruption

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request there, and its answer back.

        Raises:
            MachineLostError: the endpoint is gone.
            CloudError: AWS refuses.
            httpx.ReadTimeout: no answer came in the request's time; the queue forgets it by then, too.
        """
        content = enveloped(request.url.path, await request.aread())
        seconds = request.extensions["timeout"]["read"] or _MOST_INVOCATION
        left: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                return await self._carried(content, seconds, left)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer in the bucket", request=request) from None
        except CloudError as error:
            return judged(error, self._interruption)
        finally:
            await self._forget(left)

    async def _carried(self, content: bytes, seconds: float, left: list[str]) -> httpx.Response:
        s3, key = self._aws.s3, f"{PREFIX}{uuid.uuid4().hex}.json"
        left.append(key)
        await ask(s3.put_object, Bucket=self._bucket, Key=key, Body=content, ContentType="application/json")
        sent = await ask(
            self._aws.sagemaker_runtime.invoke_endpoint_async,
            EndpointName=self._endpoint,
            InputLocation=f"s3://{self._bucket}/{key}",
            ContentType="application/json",
            # A run that died must not keep an instance at work.
            RequestTTLSeconds=min(_MOST_TTL, max(_LEAST_TTL, math.ceil(seconds))),
            InvocationTimeoutSeconds=min(_MOST_INVOCATION, max(1, math.ceil(seconds))),
        )
        answer, failure = _key(sent["OutputLocation"]), _key(sent.get("FailureLocation", ""))
        left += [key for key in (answer, failure) if key]
        pause = _FIRST_POLL_SECONDS
        while True:
            await asyncio.sleep(pause)
            if (found := await self._found(answer)) is not None:
                return opened(found)
            if failure and (found := await self._found(failure)) is not None:
                return saying(503, f"the endpoint failed: {found.decode(errors='replace')[:300]}")
            pause = min(_LAST_POLL_SECONDS, pause * _SLOWER)

    async def _found(self, key: str) -> bytes | None:
        """An object's content; None while it is not there."""

        def get_object() -> bytes:
            return self._aws.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()

        try:
            return await ask(get_object)
        except CloudError as error:
            if error.code in _ABSENT:
                return None
            raise

    async def _forget(self, keys: list[str]) -> None:
        # What cannot be deleted now is left to the lifecycle rule: nobody waits for S3 to come back.
        with suppress(CloudError, TimeoutError):
            async with asyncio.timeout(_FORGET_SECONDS):
                await ask(
                    self._aws.s3.delete_objects,
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
                )


def _key(location: str) -> str:
    """Of s3://bucket/key."""
    return urlsplit(location).path.lstrip("/")
