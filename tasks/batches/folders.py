"""The PDFs below a folder, and what is passed over there: nothing goes unread without a word."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

PDF = ".pdf"


def is_companion(name: str) -> bool:
    """Whether a file is one that programs keep beside a document: macOS its attributes, Office who has it open."""
    return name.startswith(("._", "~$"))


def pdfs_below(folder: Path, passed_over: Callable[[str], None]) -> Iterator[Path]:
    """Return the PDFs below a folder, in the order of their paths.

    A link to a folder is not followed: it may lead out of the folder, or round in a circle.

    Args:
        folder: where they are.
        passed_over: is told in a sentence what is not read, and why.
    """

    def unreadable(error: OSError) -> None:
        passed_over(f"The folder {error.filename} cannot be read ({error.strerror}): its documents are not read.")

    found = []
    for root, folders, files in os.walk(folder, onerror=unreadable):
        for name in sorted(folders):
            path = Path(root, name)
            if path.is_symlink():
                passed_over(f"{path} is a link to a folder, and not followed. Name the folder to have it read.")
        for name in sorted(files):
            path = Path(root, name)
            if path.suffix.lower() != PDF or is_companion(name):
                continue
            if path.is_file():
                found.append(path)
            else:
                why = "a link that leads nowhere" if path.is_symlink() else "no regular file"
                passed_over(f"{path} is {why}, and not read.")
    return iter(sorted(found))
