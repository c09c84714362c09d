"""Files that runs append to, a JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tasks.storage.files import Files

M = TypeVar("M", bound=BaseModel)


def entries(files: Files, name: str, kind: type[M]) -> Iterator[M]:
    """The lines of such a file, if it is there; one that was cut off when a run was killed is left out.

    Raises:
        OutputError: it cannot be read.
    """
    for line in (files.read(name) or b"").decode(errors="replace").splitlines():
        try:
            yield kind.model_validate_json(line)
        except ValidationError:
            continue
