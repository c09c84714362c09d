"""Calls to S3, one function each, with botocore's retries and AWS's errors as Hearth's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from s3transfer.exceptions import RetriesExceededError

from tasks.aws.client import Aws
from tasks.aws.errors import wrap_errors
from tasks.core.errors import CloudError
from tasks.core.paths import S3Path

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from mypy_boto3_s3 import S3Client

_MISSING = {"NoSuchKey", "404"}
# Another client wrote first: earlier, at the same moment, or by deleting the object.
_CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "403"}
# botocore retries requests, but not one whose response breaks off in the middle.
_BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_ATTEMPTS = 3
_LOCK_METADATA = "hearth-turn"

default_aws = Aws()
_by_bucket: dict[str, Aws] = {}


def use_for(bucket: str, aws: Aws) -> None:
    """Use these credentials for a bucket in this process from now on."""
    _by_bucket[bucket] = aws


@dataclass(frozen=True)
class Stored:
    """An object with its content.

    Attributes:
        etag: changes whenever its content does.
        modified: when it was written, by S3's clock.
        now: when S3 responded, by the same clock.
        lock: token of the `S3Lock` under which it was written; empty if there was none.
    """

    body: bytes
    etag: str
    modified: datetime
    now: datetime
    lock: str


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it; its size is in bytes."""

    path: S3Path
    etag: str
    size: int


def get(path: S3Path) -> Stored | None:
    """Return an object; None if there is none.

    Raises:
        CloudError: it cannot be read.
    """
    with wrap_errors("GetObject"):
        try:
            for _ in range(_ATTEMPTS - 1):
                with suppress(*_BROKEN):
                    return _read(path)
            return _read(path)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise


def _read(path: S3Path) -> Stored:
    response = _client(path).get_object(Bucket=path.bucket, Key=path.key)
    body, lock = response["Body"].read(), response["Metadata"].get(_LOCK_METADATA, "")
    return Stored(body, response["ETag"], response["LastModified"], _now(response), lock)


def put(path: S3Path, body: bytes, *, over: str | None, lock: str = "") -> datetime | None:
    """Write an object over the version with this ETag, or a new one if None, unless somebody has changed it meanwhile.

    It is marked with the token of the lock that is held.

    Returns:
        When it was written, by S3's clock. None if another request wrote first, which may be an earlier attempt of this
        one: a request whose response was lost is sent again.

    Raises:
        CloudError: it cannot be written.
    """
    condition: dict[str, Any] = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over}
    with wrap_errors("PutObject"):
        try:
            response = _client(path).put_object(
                Bucket=path.bucket, Key=path.key, Body=body, Metadata={_LOCK_METADATA: lock}, **condition
            )
        except ClientError as error:
            if _code(error) in _CONFLICT:
                return None
            raise
    return _now(response)


def head(path: S3Path) -> Listed | None:
    """Return an object without its content; None if there is none.

    Raises:
        CloudError: it cannot be read.
    """
    with wrap_errors("HeadObject"):
        try:
            response = _client(path).head_object(Bucket=path.bucket, Key=path.key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
    return Listed(path, response["ETag"], response["ContentLength"])


def list_objects(path: S3Path, prefix: str = "", *, after: str = "", most: int = 1000) -> Iterator[Listed]:
    """Yield the objects below a folder whose names have a prefix, in the byte order of their keys.

    The list begins after a name, and fetches `most` objects per request.

    Raises:
        CloudError: they cannot be listed.
    """
    request: dict[str, Any] = {"Bucket": path.bucket, "Prefix": path.folder + prefix, "MaxKeys": most}
    if after:
        request["StartAfter"] = path.folder + after
    with wrap_errors("ListObjectsV2"):
        for response in _client(path).get_paginator("list_objects_v2").paginate(**request):
            for listed in response.get("Contents", ()):
                yield Listed(S3Path(path.bucket, listed["Key"]), listed["ETag"], listed["Size"])


def list_folders(path: S3Path) -> Iterator[S3Path]:
    """Yield the folders directly below a path.

    Raises:
        CloudError: they cannot be listed.
    """
    for response in _children(path):
        for folder in response.get("CommonPrefixes", ()):
            yield S3Path(path.bucket, folder["Prefix"].rstrip("/"))


def list_names(path: S3Path) -> Iterator[str]:
    """Yield the names of the folders and of the objects directly below a path.

    Raises:
        CloudError: they cannot be listed.
    """
    for response in _children(path):
        for folder in response.get("CommonPrefixes", ()):
            yield folder["Prefix"].removeprefix(path.folder).rstrip("/")
        for listed in response.get("Contents", ()):
            yield listed["Key"].removeprefix(path.folder)


def _children(path: S3Path) -> Iterator[Any]:
    with wrap_errors("ListObjectsV2"):
        pages = _client(path).get_paginator("list_objects_v2")
        yield from pages.paginate(Bucket=path.bucket, Prefix=path.folder, Delimiter="/")


def download(path: S3Path, file: IO[bytes]) -> bool:
    """Copy an object into a file, in parts if it is large; return False if there is none.

    Raises:
        CloudError: it cannot be read.
    """
    with wrap_errors("GetObject"):
        try:
            _client(path).download_fileobj(path.bucket, path.key, file, Config=_transfer())
        except ClientError as error:
            if _code(error) in _MISSING:
                return False
            raise
        except RetriesExceededError as error:
            raise CloudError(f"AWS could not be reached (GetObject): {error.last_exception}.") from None
    return True


def upload(path: S3Path, file: IO[bytes]) -> None:
    """Store a file as an object, in parts if it is large; it appears whole or not at all.

    Raises:
        CloudError: it cannot be written.
    """
    with wrap_errors("PutObject"):
        _client(path).upload_fileobj(file, path.bucket, path.key, Config=_transfer())


def advice(error: CloudError) -> str:
    """Return what is wrong and what to do; the caller ends the sentence."""
    if error.code == "NoSuchBucket":
        return "there is no such bucket. Create it"
    if error.code in _DENIED:
        return "AWS does not permit it. Allow s3:ListBucket on the bucket, s3:GetObject and s3:PutObject below it"
    return f"{str(error).rstrip('.')}. Fix this"


def _client(path: S3Path) -> S3Client:
    return _by_bucket.get(path.bucket, default_aws).s3


def _transfer() -> TransferConfig:
    from boto3.s3.transfer import TransferConfig

    # In this thread, one part after another: ten at once would take 80 MB of memory.
    return TransferConfig(use_threads=False)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _now(response: Any) -> datetime:  # noqa: ANN401 - any of boto3's responses
    return parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
