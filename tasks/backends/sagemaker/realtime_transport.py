"""Carry requests to Ollama through sagemaker-runtime's InvokeEndpointWithResponseStream, signed by botocore.

A page may take eight minutes this way, and one minute with InvokeEndpoint. The stream is read to its end first.
"""

import asyncio
from typing import Any

import httpx

from tasks.aws.client import Aws
from tasks.aws.errors import wrap_errors
from tasks.backends.sagemaker.envelope import close_envelope, error_response, open_envelope
from tasks.backends.sagemaker.refusals import error_of
from tasks.core.errors import FailureReason, PageError
from tasks.core.interruption import Interruption

_SERVICE = "sagemaker"


class RealTimeTransport(httpx.AsyncBaseTransport):
    """A transport through a real-time endpoint. Every call goes in an envelope of at most `most_bytes`.

    The component is the inference component that serves the model. The interruption is notified when the endpoint is
    gone.
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
        """Send a request, and return its response.

        Raises:
            PageError: it is larger than SageMaker accepts; nothing was sent.
            MachineLostError: the endpoint is gone.
            CloudError: AWS refuses.
            httpx.RequestError: AWS cannot be reached.
        """
        content = close_envelope(request.url.path, await request.aread(), beats=True)
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
                asyncio.timeout(timeout.read),  # httpx's own starts again with every blank
                self._http.stream("POST", self._url, content=content, headers=headers, timeout=timeout) as response,
            ):
                if response.is_error:
                    await response.aread()
                    return error_of(response, self._interruption)
                return await _unwrap(response)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer in time", request=request) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _signed(self, content: bytes) -> dict[str, str]:
        """Return the headers with SigV4's. Call in a thread: it hashes megabytes, and may refresh credentials."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        with wrap_errors("InvokeEndpoint"):
            request = AWSRequest("POST", self._url, headers=self._headers, data=content)
            SigV4Auth(self._aws.credentials(), _SERVICE, self._region).add_auth(request)
        return dict(request.headers)


async def _unwrap(response: httpx.Response) -> httpx.Response:
    """Return Ollama's response from AWS's event stream; 504 if it took too long, 503 if the stream broke."""
    from botocore.eventstream import EventStreamBuffer, ParserError

    buffer, body = EventStreamBuffer(), bytearray()
    try:
        async for chunk in response.aiter_raw():
            buffer.add_data(chunk)
            for event in buffer:
                part = event.to_response_dict()
                if part["status_code"] != 200:
                    return _broken(part)
                body += part["body"]
    except (ParserError, KeyError) as error:
        return error_response(503, f"SageMaker's stream cannot be read: {error}")
    if not body.strip():  # blanks alone
        return error_response(503, "SageMaker's stream ended before the answer")
    return open_envelope(bytes(body))


def _broken(part: dict[str, Any]) -> httpx.Response:
    text = bytes(part["body"]).decode(errors="replace") or str(part["headers"])
    if "ModelInvocationTimeExceeded" in text:
        return error_response(504, f"{text} Pages that take longer than 8 minutes need an asynchronous endpoint")
    return error_response(503, f"SageMaker's stream broke: {text}")
