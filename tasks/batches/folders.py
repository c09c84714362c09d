"""Find the PDFs below a folder, and report what is not read there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

PDF = ".pdf"


def is_companion(name: str) -> bool:
    """Return whether a program keeps a file beside a document: macOS its attributes, Office the name of its user."""
    return name.startswith(("._", "~$"))


def pdfs_below(folder: Path, skipped: Callable[[str], None]) -> Iterator[Path]:
    """Return the PDFs below a folder, in the order of their paths.

    A link to a folder is not followed: it may lead out of the folder, or in a circle.

    Args:
        folder: where they are.
        skipped: called with a sentence for each file that is not read, and why.
    """

    def unreadable(error: OSError) -> None:
        skipped(f"The folder {error.filename} cannot be read ({error.strerror}): its documents were skipped.")

    # As text: an inbox may hold the documents of years, and only PDFs become paths.
    pdfs: list[str] = []
    for root, folders, files in os.walk(folder, onerror=unreadable):
        for name in sorted(folders):
            path = os.path.join(root, name)  # noqa: PTH118 - see above
            if os.path.islink(path):  # noqa: PTH114 - see above
                skipped(f"{path} is a link to a folder, and not followed. Name the folder to have it read.")
        for name in sorted(files):
            if not name.lower().endswith(PDF) or len(name) == len(PDF) or is_companion(name):
                continue
            path = os.path.join(root, name)  # noqa: PTH118 - see above
            if os.path.isfile(path):  # noqa: PTH113 - see above
                pdfs.append(path)
            else:
                why = "a link that leads nowhere" if os.path.islink(path) else "no regular file"  # noqa: PTH114 - see above
                skipped(f"{path} is {why}, and not read.")
    return map(Path, sorted(pdfs, key=lambda path: path.split(os.sep)))  # noqa: PTH206 - see above
