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

    # As text: a path is made of what is found alone, for an inbox may hold the documents of years.
    found: list[str] = []
    for root, folders, files in os.walk(folder, onerror=unreadable):
        for name in sorted(folders):
            path = os.path.join(root, name)  # noqa: PTH118 - see above
            if os.path.islink(path):  # noqa: PTH114 - see above
                passed_over(f"{path} is a link to a folder, and not followed. Name the folder to have it read.")
        for name in sorted(files):
            if not name.lower().endswith(PDF) or len(name) == len(PDF) or is_companion(name):
                continue
            path = os.path.join(root, name)  # noqa: PTH118 - see above
            if os.path.isfile(path):  # noqa: PTH113 - see above
                found.append(path)
            else:
                why = "a link that leads nowhere" if os.path.islink(path) else "no regular file"  # noqa: PTH114 - see above
                passed_over(f"{path} is {why}, and not read.")
    return map(Path, sorted(found, key=lambda path: path.split(os.sep)))  # noqa: PTH206 - see above
