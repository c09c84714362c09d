"""SageMaker's errors as a run sees them: they pass, or the endpoint is gone, or a person must act.

    424 ModelError                       the container's own error: its status and message, as if called directly
    424 with OriginalStatusCode 0        no response in time: passes
    429, 5xx, throttling, not ready      passes
    400 ValidationError, no capacity     passes: this very request makes AWS scale out
    400 ValidationError, not found       the endpoint was deleted: MachineLostError
    413                                  the page is too large
    the rest                             CloudError

The messages are from https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html, and of
errors that users quote in public.
"""

import json
from typing import Any

import httpx

from tasks.aws.errors import wrap_errors
from tasks.backends.sagemaker.envelope import error_response
from tasks.core.errors import CloudError, MachineLostError
from tasks.core.interruption import Interruption

_PASSING = {
    "InternalDependencyException",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "ModelNotReadyException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_NO_CAPACITY = "no capacity"
_MISSING = ("not found", "could not find", "does not exist")
_INVALID = {"ValidationError", "ValidationException"}
_TOO_LARGE = ("oversize", "content length exceeded")
_MODEL_ERROR = 424


def error_of(response: httpx.Response, interruption: Interruption) -> httpx.Response:
    """Return sagemaker-runtime's error response as Ollama's.

    Raises:
        MachineLostError: the endpoint is gone; the interruption is notified, too.
        CloudError: AWS refuses.
    """
    try:
        body = response.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    if response.status_code == _MODEL_ERROR:
        return _container_error(body)
    message = str(body.get("Message") or body.get("message") or f"HTTP {response.status_code}")
    kind = response.headers.get("x-amzn-errortype") or str(body.get("__type", ""))
    code = kind.partition(":")[0].rpartition("#")[2] or str(response.status_code)
    if response.status_code == 429 or response.status_code >= 500:
        return error_response(503, f"SageMaker: {message}")
    if response.status_code == 413:
        return error_response(413, message)
    return response_of(_cloud_error(code, message), interruption)


def response_of(error: CloudError, interruption: Interruption) -> httpx.Response:
    """Return an error of boto3's as Ollama's.

    Raises:
        MachineLostError: the endpoint is gone; the interruption is notified, too.
        CloudError: the error itself, if it does not pass.
    """
    message, words = str(error), str(error).lower()
    if error.code in _PASSING or not error.code or _NO_CAPACITY in words:
        return error_response(503, message)
    if any(text in words for text in _TOO_LARGE):
        return error_response(413, message)
    if error.code in _INVALID and any(text in words for text in _MISSING):
        why = "the SageMaker endpoint was deleted"
        interruption.mark_gone(why)
        raise MachineLostError(f"No more pages can be read: {why} ({message}).") from None
    raise error


def _cloud_error(code: str, message: str) -> CloudError:
    from botocore.exceptions import ClientError

    try:
        with wrap_errors("InvokeEndpoint"):
            raise ClientError({"Error": {"Code": code, "Message": message}}, "InvokeEndpoint")
    except CloudError as error:
        return error


def _container_error(body: dict[str, Any]) -> httpx.Response:
    """Return the container's own error, or why there is none."""
    try:
        status = int(body.get("OriginalStatusCode") or 0)
    except (TypeError, ValueError):
        status = 0
    message = str(body.get("OriginalMessage") or body.get("Message") or "the container gave no answer")
    if not 400 <= status < 600:
        return error_response(504, f"{message} Pages that take longer than 8 minutes need an asynchronous endpoint")
    try:
        json.loads(message)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return error_response(status, message)
    return httpx.Response(status, content=message.encode())
