"""S3's objects: a call each, botocore's retries, and AWS's refusals in Hearth's words."""

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
# Somebody else wrote first: before, at the same moment, or by deleting it.
_LOST = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "403"}
# botocore sends a request again, but not one whose answer breaks off in the middle.
_BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_TRIES = 3
_TURN = "hearth-turn"

_aws = Aws()
_of_bucket: dict[str, Aws] = {}


def use_for(bucket: str, aws: Aws) -> None:
    """Have this process ask for a bucket's objects as another account, from now on."""
    _of_bucket[bucket] = aws


@dataclass(frozen=True)
class Stored:
    """An object.

    Attributes:
        etag: changes whenever its content does.
        modified: when it was written, by S3's clock.
        now: when S3 answered, by the same clock.
        turn: in which turn it was written; see `S3Lock`.
    """

    body: bytes
    etag: str
    modified: datetime
    now: datetime
    turn: str


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it, its size in bytes."""

    place: S3Path
    etag: str
    size: int


def get(place: S3Path) -> Stored | None:
    """An object; None if there is none.

    Raises:
        CloudError: it cannot be read.
    """
    with wrap_errors("GetObject"):
        try:
            for _ in range(_TRIES - 1):
                with suppress(*_BROKEN):
                    return _got(place)
            return _got(place)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise


def _got(place: S3Path) -> Stored:
    answer = _client(place).get_object(Bucket=place.bucket, Key=place.key)
    body = answer["Body"].read()
    return Stored(body, answer["ETag"], answer["LastModified"], _now(answer), answer["Metadata"].get(_TURN, ""))


def put(place: S3Path, body: bytes, *, over: str | None, turn: str = "") -> datetime | None:
    """Write an object if it is still as it was seen.

    Args:
        place: the object's.
        body: its content.
        over: the ETag of what is to be replaced; None if nothing is there.
        turn: in which turn this is.

    Returns:
        When, by S3's clock. None if somebody else wrote first, which may be ourselves: a request whose answer was
        lost is sent again.

    Raises:
        CloudError: it cannot be written.
    """
    condition: dict[str, Any] = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over}
    with wrap_errors("PutObject"):
        try:
            answer = _client(place).put_object(
                Bucket=place.bucket, Key=place.key, Body=body, Metadata={_TURN: turn}, **condition
            )
        except ClientError as error:
            if _code(error) in _LOST:
                return None
            raise
    return _now(answer)


def head(place: S3Path) -> Listed | None:
    """What a listing would show of an object; None if there is none.

    Raises:
        CloudError: it cannot be looked at.
    """
    with wrap_errors("HeadObject"):
        try:
            answer = _client(place).head_object(Bucket=place.bucket, Key=place.key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
    return Listed(place, answer["ETag"], answer["ContentLength"])


def below(place: S3Path, begin: str = "", *, after: str = "", most: int = 1000) -> Iterator[Listed]:
    """The objects below a place, in the order of their keys' bytes.

    Args:
        place: a folder.
        begin: how their names below it begin.
        after: the name after which to begin.
        most: how many are asked for at once.

    Raises:
        CloudError: they cannot be listed.
    """
    asked: dict[str, Any] = {"Bucket": place.bucket, "Prefix": place.folder + begin, "MaxKeys": most}
    if after:
        asked["StartAfter"] = place.folder + after
    while True:
        with wrap_errors("ListObjectsV2"):
            answer = _client(place).list_objects_v2(**asked)
        for found in answer.get("Contents", ()):
            yield Listed(S3Path(place.bucket, found["Key"]), found["ETag"], found["Size"])
        if not answer.get("IsTruncated"):
            return
        asked["ContinuationToken"] = answer["NextContinuationToken"]


def folders(place: S3Path) -> Iterator[S3Path]:
    """The folders right below a place.

    Raises:
        CloudError: they cannot be listed.
    """
    with wrap_errors("ListObjectsV2"):
        pages = _client(place).get_paginator("list_objects_v2")
        for answer in pages.paginate(Bucket=place.bucket, Prefix=place.folder, Delimiter="/"):
            for found in answer.get("CommonPrefixes", ()):
                yield S3Path(place.bucket, found["Prefix"].rstrip("/"))


def download(place: S3Path, file: IO[bytes]) -> bool:
    """Copy an object into a file, in parts where it is large; False if there is none.

    Raises:
        CloudError: it cannot be read.
    """
    with wrap_errors("GetObject"):
        try:
            _client(place).download_fileobj(place.bucket, place.key, file, Config=_transfer())
        except ClientError as error:
            if _code(error) in _MISSING:
                return False
            raise
        except RetriesExceededError as error:
            raise CloudError(f"AWS could not be asked (GetObject): {error.last_exception}.") from None
    return True


def upload(place: S3Path, file: IO[bytes]) -> None:
    """Make an object of a file, in parts where it is large; it appears whole or not at all.

    Raises:
        CloudError: it cannot be written.
    """
    with wrap_errors("PutObject"):
        _client(place).upload_fileobj(file, place.bucket, place.key, Config=_transfer())


def why(error: CloudError) -> str:
    """What is wrong, and the beginning of what to do, to be ended by the caller."""
    if error.code == "NoSuchBucket":
        return "there is no such bucket. Create it"
    if error.code in _DENIED:
        return "AWS does not permit it. Allow s3:ListBucket on the bucket, s3:GetObject and s3:PutObject below it"
    return f"{str(error).rstrip('.')}. Mend this"


def _client(place: S3Path) -> S3Client:
    return _of_bucket.get(place.bucket, _aws).s3


def _transfer() -> TransferConfig:
    from boto3.s3.transfer import TransferConfig

    # By this thread alone, one part after another: ten at once would be 80 MB of memory.
    return TransferConfig(use_threads=False)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _now(answer: Any) -> datetime:  # noqa: ANN401 - any of boto3's answers
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
