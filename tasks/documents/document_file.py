"""A document as the sandboxed process is handed it: an open file, and what is refused of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tasks.core.errors import DocumentError
from tasks.settings.reading import LimitSettings

_OPEN_SECONDS_MB = 0.2


@dataclass(frozen=True, eq=False)
class DocumentFile:
    """A document as a process is handed it: open, so that it can be no other, and with what is refused of it.

    Use as a context manager.
    """

    descriptor: int
    size: int
    limits: LimitSettings
    password: str | None = field(default=None, repr=False)

    @classmethod
    def at(cls, path: Path, limits: LimitSettings, password: str | None = None) -> Self:
        """Open a file.

        Raises:
            DocumentError: it cannot be read.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DocumentError(f"{path} cannot be read: {error.strerror}. Check the path.") from None
        return cls(descriptor, os.fstat(descriptor).st_size, limits, password)

    @property
    def seconds(self) -> float:
        """How long it may take to be opened: a large one longer than a small one, and none longer than a page."""
        least = self.limits.open_seconds
        return min(least + _OPEN_SECONDS_MB * self.size / 1e6, max(least, self.limits.render_seconds))

    def __enter__(self) -> Self:
        """Do nothing: it is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)
