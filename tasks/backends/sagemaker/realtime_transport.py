"""Requests of Ollama's client carried through sagemaker-runtime's InvokeEndpointWithResponseStream, signed by botocore.

A page may take eight minutes so, and one with InvokeEndpoint. Nothing is read from the stream before its end.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tasks.aws.client import Aws
from tasks.aws.errors import wrap_errors
from tasks.backends.sagemaker.envelope import enveloped, opened, saying
from tasks.backends.sagemaker.refusals import refused
from tasks.core.errors import FailureReason, PageError
from tasks.core.interruption import Interruption

_SERVICE = "sagemaker"


class RealTimeTransport(httpx.AsyncBaseTransport):
    """See the module. Every call goes in an envelope.

    Args:
        aws: whose credentials sign.
        endpoint: its name.
        component: the inference component that serves the model.
        most_bytes: of a request's body.
        interruption: is told when the endpoint is gone.
    """

    def __init__(
        self, aws: Aws, endpoint: str, component: str | None, *, most_bytes: int, interruption: Interruption
    ) -> None:
        self._aws = aws
        runtime = aws.sagemaker_runtime.meta
        self._region = runtime.region_name
        self._url = f"{runtime.endpoint_url}/endpoints/{endpoint}/invocations-response-stream"
        self._headers = {"Content-Type": "application/json", "X-Amzn-SageMaker-Accept": "application/json"}
        if component:
            self._headers["X-Amzn-SageMaker-Inference-Component"] = component
        self._most_bytes = most_bytes
        self._interruption = interruption
        self._http = httpx.AsyncClient(
            # See OllamaClient: a connection of its own for each request.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            verify=self._url.startswith("https:"),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request there, and its answer back.

        Raises:
            PageError: it is larger than SageMaker takes; nothing was sent.
            MachineLostError: the endpoint is gone.
            CloudError: AWS refuses.
            httpx.RequestError: AWS is out of reach.
        """
        content = enveloped(request.url.path, await request.aread(), beats=True)
        if len(content) > self._most_bytes:
            size, most = len(content) / 1e6, self._most_bytes / 1e6
            raise PageError(
                FailureReason.REFUSED,
                f"The page's request has {size:.1f} MB, and a real-time endpoint takes {most:.1f} MB. "
                "Lower --longest-side, or use an asynchronous endpoint.",
                final=True,
            )
        headers = await asyncio.to_thread(self._signed, content)
        timeout = httpx.Timeout(**request.extensions["timeout"])
        try:
            async with (
                asyncio.timeout(timeout.read),  # httpx's own begins anew with every blank
                self._http.stream("POST", self._url, content=content, headers=headers, timeout=timeout) as response,
            ):
                if response.is_error:
                    await response.aread()
                    return refused(response, self._interruption)
                return await _unwrapped(response)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer in time", request=request) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _signed(self, content: bytes) -> dict[str, str]:
        """The headers with SigV4's. It hashes some megabytes, and may have to refresh the credentials: in a thread."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        with wrap_errors("InvokeEndpoint"):
            request = AWSRequest("POST", self._url, headers=self._headers, data=content)
            SigV4Auth(self._aws.credentials(), _SERVICE, self._region).add_auth(request)
        return dict(request.headers)


async def _unwrapped(response: httpx.Response) -> httpx.Response:
    """Ollama's own answer out of AWS's event stream; 504 if that says that it took too long, 503 if it broke."""
    from botocore.eventstream import EventStreamBuffer, ParserError

    buffer, said = EventStreamBuffer(), bytearray()
    try:
        async for chunk in response.aiter_raw():
            buffer.add_data(chunk)
            for event in buffer:
                told = event.to_response_dict()
                if told["status_code"] != 200:
                    return _broken(told)
                said += told["body"]
    except (ParserError, KeyError) as error:
        return saying(503, f"SageMaker's stream makes no sense: {error}")
    if not said.strip():  # blanks alone
        return saying(503, "SageMaker's stream ended before the answer")
    return opened(bytes(said))


def _broken(told: dict[str, Any]) -> httpx.Response:
    text = bytes(told["body"]).decode(errors="replace") or str(told["headers"])
    if "ModelInvocationTimeExceeded" in text:
        return saying(504, f"{text} Pages that take longer than 8 minutes need an asynchronous endpoint")
    return saying(503, f"SageMaker's stream broke: {text}")
