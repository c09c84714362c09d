"""Paths of files: on this machine, or under s3://."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Self
from urllib.parse import unquote_to_bytes

from pydantic import PlainSerializer, PlainValidator

from tasks.core.errors import InputError
from tasks.core.escaping import escape_surrogates
from tasks.core.network import without_credentials

_SCHEME = "s3://"
_FILE = "file://"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*", re.DOTALL)
_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, order=True)
class S3Path:
    """A bucket and key, with the interface of a pure `Path`."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Parse s3://bucket/key.

        Raises:
            InputError: it names no bucket.
        """
        match = _BUCKET.fullmatch(uri)
        if match is None:
            raise InputError(f"{uri} names no S3 bucket. Write it like s3://bucket/prefix.")
        return cls(match[1], match[2] or "")

    @property
    def name(self) -> str:
        """The last component."""
        return self.key.rstrip("/").rpartition("/")[2] or self.bucket

    @property
    def stem(self) -> str:
        """The last component without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The suffix of the last component, such as .pdf."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> S3Path:
        """The path without its last component."""
        return S3Path(self.bucket, self.key.rstrip("/").rpartition("/")[0])

    @property
    def folder(self) -> str:
        """The prefix of all keys below the path."""
        return f"{self.key.rstrip('/')}/" if self.key.strip("/") else ""

    def __truediv__(self, name: str) -> S3Path:
        return S3Path(self.bucket, self.folder + name)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"

    def absolute(self) -> S3Path:
        """Return the path itself."""
        return self

    def as_uri(self) -> str:
        """Return the path as text."""
        return str(self)


def is_s3(text: str) -> bool:
    """Return whether a text is meant as a path in S3."""
    return text.startswith(_SCHEME)


def is_url(text: str) -> bool:
    """Return whether a text is a URL of any scheme, and so no relative path."""
    return _URL.fullmatch(text) is not None


def parse_path(text: str) -> Path | S3Path:
    """Parse a path as people write it: ~ is the home directory, and file:/// a path, byte by byte.

    Raises:
        InputError: it is under s3:// and names no bucket, or is a URL of the web.
    """
    # Path.expanduser raises where there is no such user; a file may really be called so.
    return _parse(text) if is_url(text) else Path(os.path.expanduser(text))  # noqa: PTH111 - see above


def format_path(path: Path | S3Path) -> str:
    """Return a path as text that `parse_path` reads.

    Names on Linux are bytes. A name that is not UTF-8 is written as a file URI, since JSON could not hold it.
    """
    text = str(path)
    return text if escape_surrogates(text) == text else path.absolute().as_uri()


def normalize_path_text(text: str) -> str:
    """Return a path that a person wrote, or its file URI if it is not UTF-8."""
    return text if escape_surrogates(text) == text else format_path(Path(os.path.expanduser(text)))  # noqa: PTH111 - as in parse_path


def _parse(text: str) -> Path | S3Path:
    if is_s3(text):
        return S3Path.parse(text)
    if text.startswith(_FILE):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_FILE))))
    if is_url(text):
        raise InputError(
            f"{without_credentials(text)} is a URL. Hearth takes paths and s3://bucket/key: download the document and "
            "name its file, or pass it on: curl -fL URL | hearth read -"
        )
    return Path(text)


def _validate(value: object) -> Path | S3Path:
    if isinstance(value, str):
        return _parse(value)
    if not isinstance(value, Path | S3Path):
        raise ValueError("it must be a path or s3://bucket/prefix")  # noqa: TRY004 - pydantic expects a ValueError
    return value


StoragePath = Annotated[
    Path | S3Path, PlainValidator(_validate), PlainSerializer(format_path, return_type=str, when_used="json")
]
"""A path of either kind, also as a field of a model."""
