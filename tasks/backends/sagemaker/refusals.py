"""What SageMaker's refusals mean to a run: they pass, or the endpoint is gone, or a person must act.

    424 ModelError                       the container's own error: its status and words, as if it were asked directly
    424 with OriginalStatusCode 0        no answer in time: passes
    429, 5xx, throttling, not ready      passes
    400 ValidationError, no capacity     passes: scaling out was set off by this very request
    400 ValidationError, not found       the endpoint was deleted: MachineLostError
    413                                  the page is too large
    the rest                             CloudError

The words are those of https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html, and of
errors that users quote in public.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

from tasks.aws.errors import wrap_errors
from tasks.backends.sagemaker.envelope import saying
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


def refused(response: httpx.Response, interruption: Interruption) -> httpx.Response:
    """What an error answer of sagemaker-runtime means to whoever asked Ollama.

    Raises:
        MachineLostError: the endpoint is gone; the interruption is told, too.
        CloudError: AWS refuses.
    """
    try:
        told = response.json()
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    if response.status_code == _MODEL_ERROR:
        return _of_the_container(told)
    message = str(told.get("Message") or told.get("message") or f"HTTP {response.status_code}")
    kind = response.headers.get("x-amzn-errortype") or str(told.get("__type", ""))
    code = kind.partition(":")[0].rpartition("#")[2] or str(response.status_code)
    if response.status_code == 429 or response.status_code >= 500:
        return saying(503, f"SageMaker: {message}")
    if response.status_code == 413:
        return saying(413, message)
    return judged(_cloud_error(code, message), interruption)


def judged(error: CloudError, interruption: Interruption) -> httpx.Response:
    """The same of an error that boto3 met.

    Raises:
        MachineLostError: the endpoint is gone; the interruption is told, too.
        CloudError: the error itself, if it does not pass.
    """
    told, words = str(error), str(error).lower()
    if error.code in _PASSING or not error.code or _NO_CAPACITY in words:
        return saying(503, told)
    if any(text in words for text in _TOO_LARGE):
        return saying(413, told)
    if error.code in _INVALID and any(text in words for text in _MISSING):
        why = "the SageMaker endpoint was deleted"
        interruption.mark_gone(why)
        raise MachineLostError(f"No more pages can be read: {why} ({told}).") from None
    raise error


def _cloud_error(code: str, message: str) -> CloudError:
    from botocore.exceptions import ClientError

    try:
        with wrap_errors("InvokeEndpoint"):
            raise ClientError({"Error": {"Code": code, "Message": message}}, "InvokeEndpoint")
    except CloudError as error:
        return error


def _of_the_container(told: dict[str, Any]) -> httpx.Response:
    """What the container answered, or why it did not."""
    try:
        status = int(told.get("OriginalStatusCode") or 0)
    except (TypeError, ValueError):
        status = 0
    message = str(told.get("OriginalMessage") or told.get("Message") or "the container gave no answer")
    if not 400 <= status < 600:
        return saying(504, f"{message} Pages that take longer than 8 minutes need an asynchronous endpoint")
    try:
        json.loads(message)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return saying(status, message)
    return httpx.Response(status, content=message.encode())
