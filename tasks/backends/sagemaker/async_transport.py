"""Carry requests to Ollama through an asynchronous endpoint: there by S3 and its queue, back by S3."""

import asyncio
import math
import uuid
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from tasks.aws.client import Aws, ask
from tasks.backends.sagemaker.envelope import close_envelope, error_response, open_envelope
from tasks.backends.sagemaker.refusals import response_of
from tasks.core.errors import CloudError
from tasks.core.interruption import Interruption

PREFIX = "requests/"
_FIRST_POLL_SECONDS = 0.25
_LAST_POLL_SECONDS = 1.0
_SLOWER = 1.5
_DELETE_SECONDS = 5.0
# Bounds of RequestTTLSeconds and InvocationTimeoutSeconds (API_runtime_InvokeEndpointAsync).
_LEAST_TTL, _MOST_TTL, _MOST_INVOCATION = 60, 21_600, 3600
_ABSENT = {"NoSuchKey", "404"}


class QueuedTransport(httpx.AsyncBaseTransport):
    """A transport through an endpoint's queue; the interruption is notified when the endpoint is gone.

    Requests go to the bucket, and the endpoint names the place of each response. The objects of a request are deleted
    with its response; a lifecycle rule deletes the rest.
    """

    def __init__(self, aws: Aws, endpoint: str, bucket: str, *, interruption: Interruption) -> None:
        self._aws = aws
        self._endpoint = endpoint
        self._bucket = bucket
        self._interruption = interruption

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response.

        Raises:
            MachineLostError: the endpoint is gone.
            CloudError: AWS refuses.
            httpx.ReadTimeout: no response came in time; the queue drops the request by then, too.
        """
        content = close_envelope(request.url.path, await request.aread())
        seconds = request.extensions["timeout"]["read"] or _MOST_INVOCATION
        keys: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                return await self._carry(content, seconds, keys)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer in the bucket", request=request) from None
        except CloudError as error:
            return response_of(error, self._interruption)
        finally:
            await self._delete(keys)

    async def _carry(self, content: bytes, seconds: float, keys: list[str]) -> httpx.Response:
        s3, key = self._aws.s3, f"{PREFIX}{uuid.uuid4().hex}.json"
        keys.append(key)
        await ask(s3.put_object, Bucket=self._bucket, Key=key, Body=content, ContentType="application/json")
        sent = await ask(
            self._aws.sagemaker_runtime.invoke_endpoint_async,
            EndpointName=self._endpoint,
            InputLocation=f"s3://{self._bucket}/{key}",
            ContentType="application/json",
            # A run that died must not keep an instance busy.
            RequestTTLSeconds=min(_MOST_TTL, max(_LEAST_TTL, math.ceil(seconds))),
            InvocationTimeoutSeconds=min(_MOST_INVOCATION, max(1, math.ceil(seconds))),
        )
        output, failure = _key(sent["OutputLocation"]), _key(sent.get("FailureLocation", ""))
        keys += [key for key in (output, failure) if key]
        pause = _FIRST_POLL_SECONDS
        while True:
            await asyncio.sleep(pause)
            if (received := await self._get(output)) is not None:
                return open_envelope(received)
            if failure and (why := await self._get(failure)) is not None:
                return error_response(503, f"the endpoint failed: {why.decode(errors='replace')[:300]}")
            pause = min(_LAST_POLL_SECONDS, pause * _SLOWER)

    async def _get(self, key: str) -> bytes | None:
        """Return an object's content, or None while there is no such object."""

        def get_object() -> bytes:
            return self._aws.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()

        try:
            return await ask(get_object)
        except CloudError as error:
            if error.code in _ABSENT:
                return None
            raise

    async def _delete(self, keys: list[str]) -> None:
        # The lifecycle rule deletes what cannot be deleted now: no run waits for S3 to come back.
        with suppress(CloudError, TimeoutError):
            async with asyncio.timeout(_DELETE_SECONDS):
                await ask(
                    self._aws.s3.delete_objects,
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
                )


def _key(location: str) -> str:
    """Return the key of s3://bucket/key."""
    return urlsplit(location).path.lstrip("/")
