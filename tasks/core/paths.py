"""Where files are: a path of this machine, or the same under s3://."""

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
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*", re.DOTALL)
_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, order=True)
class S3Path:
    """A place in S3. Its names work as those of a `Path`; nothing is asked of AWS."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """The place that s3://bucket/key means.

        Raises:
            InputError: it names no bucket.
        """
        found = _BUCKET.fullmatch(uri)
        if found is None:
            raise InputError(f"{uri} names no S3 bucket. Write it like s3://bucket/prefix.")
        return cls(found[1], found[2] or "")

    @property
    def name(self) -> str:
        """Its last part."""
        return self.key.rstrip("/").rpartition("/")[2] or self.bucket

    @property
    def stem(self) -> str:
        """Its last part without the ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending of its last part, such as .pdf."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> S3Path:
        """What it is in."""
        return S3Path(self.bucket, self.key.rstrip("/").rpartition("/")[0])

    @property
    def folder(self) -> str:
        """The beginning of all keys below it."""
        return f"{self.key.rstrip('/')}/" if self.key.strip("/") else ""

    def __truediv__(self, name: str) -> S3Path:
        return S3Path(self.bucket, self.folder + name)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"

    def absolute(self) -> S3Path:
        """Itself."""
        return self

    def as_uri(self) -> str:
        """Itself, written."""
        return str(self)


def is_s3(format_path: str) -> bool:
    """Whether this is meant to be in S3."""
    return format_path.startswith(_SCHEME)


def is_url(text: str) -> bool:
    """Whether this is meant to be somewhere else than in a folder beside others: scheme://..."""
    return _ADDRESS.fullmatch(text) is not None


def parse_path(text: str) -> Path | S3Path:
    """The place that a person's words mean; ~ is the home directory, and file:/// a path, byte by byte.

    Raises:
        InputError: it is under s3:// and names no bucket, or is an address of the web.
    """
    if is_s3(text):
        return S3Path.parse(text)
    if is_url(text):
        return _local(text)
    # Path.expanduser raises where there is no such user; a file may really be called so.
    return Path(os.path.expanduser(text))  # noqa: PTH111 - see above


def format_path(place: Path | S3Path) -> str:
    """Return a place as text: what `parse_path` reads.

    Names on Linux are bytes. What is not UTF-8 among them is written as a file URI, since no JSON could hold it.
    """
    text = str(place)
    return text if escape_surrogates(text) == text else place.absolute().as_uri()


def normalize_path_text(name: str) -> str:
    """Return what a person wrote as a path, or its URI where it is not UTF-8."""
    return name if escape_surrogates(name) == name else format_path(Path(os.path.expanduser(name)))  # noqa: PTH111 - see above


def _local(text: str) -> Path:
    if text.startswith(_FILE):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_FILE))))
    if is_url(text):
        raise InputError(
            f"{without_credentials(text)} is an address. Hearth takes paths and s3://bucket/key: download the "
            "document and name its file, or pass it on: curl -fL ADDRESS | hearth read -"
        )
    return Path(text)


def _validated(value: object) -> Path | S3Path:
    if isinstance(value, str):
        return S3Path.parse(value) if is_s3(value) else _local(value)
    if not isinstance(value, Path | S3Path):
        raise ValueError("a path or s3://bucket/prefix is wanted")  # noqa: TRY004 - pydantic wants it so
    return value


StoragePath = Annotated[
    Path | S3Path, PlainValidator(_validated), PlainSerializer(format_path, return_type=str, when_used="json")
]
"""Either of the two, in a model, too."""
