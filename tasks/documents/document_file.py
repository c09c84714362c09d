"""Documents as open files, which the sandboxed process receives."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tasks.core.document_kinds import HEAD_BYTES, PDF, DocumentKind, kind_of
from tasks.core.errors import DocumentError
from tasks.settings.reading import LimitSettings

_OPEN_SECONDS_MB = 0.2


@dataclass(frozen=True, eq=False)
class DocumentFile:
    """An open document, which cannot be exchanged for another file; its limits, kind and password.

    Use as a context manager.
    """

    descriptor: int
    size: int
    limits: LimitSettings
    kind: DocumentKind
    password: str | None = field(default=None, repr=False)

    @classmethod
    def at(cls, path: Path, limits: LimitSettings, password: str | None = None) -> Self:
        """Open a document.

        Raises:
            DocumentError: the file cannot be read.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DocumentError(f"{path} cannot be read: {error.strerror}. Check the path.") from None
        # Its maker has checked the kind; a file that was exchanged since is opened as a PDF, and refused.
        kind = kind_of(os.pread(descriptor, HEAD_BYTES, 0)) or PDF
        return cls(descriptor, os.fstat(descriptor).st_size, limits, kind, password)

    @property
    def seconds(self) -> float:
        """Maximum seconds for opening: more for a large document, but no more than for a page."""
        least = self.limits.open_seconds
        return min(least + _OPEN_SECONDS_MB * self.size / 1e6, max(least, self.limits.render_seconds))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)
