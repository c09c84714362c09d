"""SageMaker's data plane, SIMULATED, as moto's is a fake that answers the same to everything.

After the API reference of sagemaker-runtime, the developer guide's pages on inference components and asynchronous
inference, and errors that users quote: signatures are checked, payloads are bounded, a container's errors become 424,
an inference component without a copy refuses with the words that Application Auto Scaling's users know, and an
asynchronous endpoint takes its requests from moto's S3 and leaves its answers there. Behind it are real containers.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.aws.sagemaker_answers import ACCOUNT, event, model_error
from tests.support.aws.wire import REGION, Answer, Call, Proceed, error_answer

SECRET = "secret"
MOST_BYTES = 25_000_000
MOST_ASYNC_BYTES = 1_000_000_000


@dataclass
class Endpoint:
    """An endpoint whose container runs.

    Attributes:
        container: where it listens.
        copies: that serve; 0: it is scaled in.
        component: the inference component's name, if it has one.
        seconds: longest wait for the container's next byte.
        stream_seconds: longest wait for all of a stream.
        parts: of streams that came from it.
        most_bytes: of a request.
        status: SageMaker's word for the endpoint.
        refused: calls that found no copy.
        queued: asynchronous requests that were taken.
    """

    container: str
    copies: int = 1
    component: str | None = None
    seconds: float = 60
    stream_seconds: float = 480
    parts: int = 0
    most_bytes: int = MOST_BYTES
    status: str = "InService"
    refused: int = 0
    queued: list[dict[str, str]] = field(default_factory=list)


class SageMaker:
    """The layer."""

    def __init__(self, moto: httpx.AsyncClient) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.garbled: bytes | None = None
        self._moto = moto
        self._http = httpx.AsyncClient(timeout=None, trust_env=False, verify=False)
        self._working: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        if call.action == "DescribeEndpoint" and call.service == "sagemaker":
            return self._counted(call, await proceed(call))
        if call.action == "DescribeInferenceComponent":
            return self._component(call)
        return await (self._invoked(call) if call.action.startswith("InvokeEndpoint") else proceed(call))

    async def _invoked(self, call: Call) -> Answer:
        if not signed(call):
            told = "The request signature we calculated does not match the signature you provided."
            return error_answer(call, "InvalidSignatureException", told, 403)
        name = call.path.split("/")[2]
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            return error_answer(call, "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        if call.action == "InvokeEndpointAsync":
            return self._queue(call, endpoint)
        return await self._invoke(call, endpoint)

    async def _invoke(self, call: Call, endpoint: Endpoint) -> Answer:
        if len(call.body) > endpoint.most_bytes:
            return error_answer(call, "413", f"HTTP content length exceeded {endpoint.most_bytes} bytes.", 413)
        asked = call.headers.get("x-amzn-sagemaker-inference-component")
        if asked != endpoint.component:
            return error_answer(call, "ValidationError", f"Inference Component {asked} not found.")
        if not endpoint.copies:
            endpoint.refused += 1
            told = (
                "Inference Component has no capacity to process this request. ApplicationAutoScaling may be "
                "in-progress (if configured) or try to increase the capacity by invoking "
                "UpdateInferenceComponentRuntimeConfig API."
            )
            return error_answer(call, "ValidationError", told)
        if call.action == "InvokeEndpoint":
            return await self._contained(endpoint, call.body)
        return await self._streamed(endpoint, call.body)

    async def _streamed(self, endpoint: Endpoint, body: bytes) -> Answer:
        """What the container says, part by part, as AWS's event stream; passed on when it has ended."""
        parts: list[bytes] = []
        try:
            async with (
                asyncio.timeout(endpoint.stream_seconds),
                self._http.stream(
                    "POST", f"{endpoint.container}/invocations", content=body, timeout=endpoint.seconds
                ) as said,
            ):
                if said.is_error:
                    return model_error(said.status_code, (await said.aread()).decode())
                async for part in said.aiter_raw():
                    endpoint.parts += 1
                    parts.append(event({":message-type": "event", ":event-type": "PayloadPart"}, part))
        except (TimeoutError, httpx.TimeoutException):
            told = {"Message": "The model did not finish in time.", "ErrorCode": "ModelInvocationTimeExceeded"}
            kind = {":message-type": "exception", ":exception-type": "ModelStreamError"}
            parts.append(event(kind, json.dumps(told).encode()))
        except httpx.TransportError:
            kind = {":message-type": "exception", ":exception-type": "InternalStreamFailure"}
            parts.append(event(kind, b'{"Message": "Failure."}'))
        said = b"".join(parts) if self.garbled is None else self.garbled
        return Answer(200, {"Content-Type": "application/vnd.amazon.eventstream"}, said)

    async def _contained(self, endpoint: Endpoint, body: bytes) -> Answer:
        """What the container says, as SageMaker passes it on."""
        json_type = {"Content-Type": "application/json"}
        try:
            said = await self._http.post(
                f"{endpoint.container}/invocations", content=body, headers=json_type, timeout=endpoint.seconds
            )
        except httpx.TimeoutException:
            return model_error(
                0, "Your invocation timed out while waiting for a response from container primary. Review the latency "
                "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
            )  # fmt: skip
        except httpx.TransportError:
            return Answer(503, {**json_type, "x-amzn-errortype": "ServiceUnavailable"}, b'{"Message": "Unavailable."}')
        if said.is_error:
            return model_error(said.status_code, said.text)
        return Answer(200, json_type, said.content)

    def _queue(self, call: Call, endpoint: Endpoint) -> Answer:
        asked = {name.rpartition("sagemaker-")[2]: value for name, value in call.headers.items()}
        number = f"{len(endpoint.queued):04d}"
        endpoint.queued.append(asked)
        bucket = urlsplit(asked["inputlocation"]).netloc
        places = {"OutputLocation": f"answers/{number}.out", "FailureLocation": f"failures/{number}.err"}
        work = asyncio.create_task(self._work(endpoint, asked["inputlocation"], bucket, places))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        headers = {f"x-amzn-sagemaker-{name.lower()}": f"s3://{bucket}/{key}" for name, key in places.items()}
        return Answer(202, headers, json.dumps({"InferenceId": number}).encode())

    async def _work(self, endpoint: Endpoint, location: str, bucket: str, places: dict[str, str]) -> None:
        """One request off the queue, once there is an instance."""
        while not endpoint.copies:
            await asyncio.sleep(0.02)
        where = urlsplit(location)
        body = await self._moto.get(f"/{where.netloc}{where.path}", headers=_anyone("s3"))
        if body.is_error:
            return await self._put(bucket, places["FailureLocation"], b"Failed to download the input.")
        answer = await self._contained(endpoint, body.content)
        if answer.ok:
            return await self._put(bucket, places["OutputLocation"], answer.body)
        return await self._put(bucket, places["FailureLocation"], answer.body)

    async def _put(self, bucket: str, key: str, content: bytes) -> None:
        (await self._moto.put(f"/{bucket}/{key}", content=content, headers=_anyone("s3"))).raise_for_status()

    def _counted(self, call: Call, answer: Answer) -> Answer:
        """moto's endpoints never scale."""
        endpoint = self.endpoints.get(call.parameters["EndpointName"])
        if endpoint is None or not answer.ok:
            return answer
        told = json.loads(answer.body)
        told["ProductionVariants"][0]["CurrentInstanceCount"] = endpoint.copies
        told |= {"EndpointStatus": endpoint.status, "FailureReason": "Simulated."}
        answer.headers.pop("content-length", None)
        return Answer(answer.status, answer.headers, json.dumps(told).encode())

    def _component(self, call: Call) -> Answer:
        """moto has no inference components."""
        asked = call.parameters["InferenceComponentName"]
        for endpoint in self.endpoints.values():
            if endpoint.component == asked:
                told: dict[str, Any] = {
                    "InferenceComponentName": asked,
                    "InferenceComponentStatus": "InService",
                    "RuntimeConfig": {"CurrentCopyCount": endpoint.copies, "DesiredCopyCount": endpoint.copies},
                }
                return Answer(200, {"content-type": "application/x-amz-json-1.1"}, json.dumps(told).encode())
        return error_answer(call, "ValidationException", f'Could not find inference component "{asked}".')

    async def close(self) -> None:
        """End what is under way."""
        for work in self._working:
            work.cancel()
        await self._http.aclose()


def signed(call: Call) -> bool:
    """Whether the signature is what botocore computes of the request with the account's secret."""
    given = call.headers.get("authorization", "")
    if "Signature=" not in given:
        return False
    names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
    url = f"http://{call.headers['host']}{call.path}"
    request = AWSRequest(call.method, url, headers={name: call.headers[name] for name in names}, data=call.body)
    request.context["timestamp"] = call.headers["x-amz-date"]
    signer = SigV4Auth(Credentials("any", SECRET), "sagemaker", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return given.endswith("Signature=" + signer.signature(text, request))


def _anyone(service: str) -> dict[str, str]:
    """moto looks at the service alone."""
    scope = f"Credential=k/20260101/{REGION}/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
