"""Requests of Ollama's client carried through sagemaker-runtime's InvokeEndpoint, signed by botocore."""

from __future__ import annotations

import asyncio

import httpx

from tasks.aws import Aws, told_of
from tasks.departure import Departure
from tasks.errors import FailureReason, PageError
from tasks.sagemaker.envelope import GENERATE, enveloped, opened
from tasks.sagemaker.refusals import refused

_SERVICE = "sagemaker"


class RealTimeTransport(httpx.AsyncBaseTransport):
    """See the module. A page's request goes as it is, every other call in an envelope.

    Args:
        aws: whose credentials sign.
        endpoint: its name.
        component: the inference component that serves the model.
        most_bytes: of a request's body.
        departure: is told when the endpoint is gone.
    """

    def __init__(
        self, aws: Aws, endpoint: str, component: str | None, *, most_bytes: int, departure: Departure
    ) -> None:
        self._aws = aws
        runtime = aws.sagemaker_runtime.meta
        self._region = runtime.region_name
        self._url = f"{runtime.endpoint_url}/endpoints/{endpoint}/invocations"
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if component:
            self._headers["X-Amzn-SageMaker-Inference-Component"] = component
        self._most_bytes = most_bytes
        self._departure = departure
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
        body = await request.aread()
        bare = request.url.path == GENERATE
        content = body if bare else enveloped(request.url.path, body)
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
        response = await self._http.post(self._url, content=content, headers=headers, timeout=timeout)
        if response.is_error:
            return refused(response, self._departure)
        return httpx.Response(200, content=response.content) if bare else opened(response.content)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _signed(self, content: bytes) -> dict[str, str]:
        """The headers with SigV4's. It hashes some megabytes, and may have to refresh the credentials: in a thread."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        with told_of("InvokeEndpoint"):
            request = AWSRequest("POST", self._url, headers=self._headers, data=content)
            SigV4Auth(self._aws.credentials(), _SERVICE, self._region).add_auth(request)
        return dict(request.headers)
