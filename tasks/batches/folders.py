"""Find the documents below a folder or in a list, and report what is not read there."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.core.document_kinds import is_document
from tasks.core.escaping import escape_surrogates
from tasks.core.paths import StoragePath, is_url, parse_path
from tasks.text.legible import decoded

_LINE_END = re.compile(r"\r\n|\r|\n")


def is_companion(name: str) -> bool:
    """Return whether a program keeps a file beside a document: macOS its attributes, Office the name of its user."""
    return name.startswith(("._", "~$"))


def documents_below(folder: Path, skipped: Callable[[str], None]) -> Iterator[Path]:
    """Return the documents below a folder, by their names' suffixes, in the order of their paths.

    A link to a folder is not followed: it may lead out of the folder, or in a circle. `skipped` is called with a
    sentence for each file that is not read, and why.
    """

    def unreadable(error: OSError) -> None:
        skipped(f"The folder {error.filename} cannot be read ({error.strerror}): its documents were skipped.")

    # As text: an inbox may hold the documents of years, and only documents become paths.
    found: list[str] = []
    for root, folders, files in os.walk(folder, onerror=unreadable):
        for name in sorted(folders):
            path = os.path.join(root, name)  # noqa: PTH118 - see above
            if os.path.islink(path):  # noqa: PTH114 - see above
                skipped(f"{path} is a link to a folder, and not followed. Name the folder to have it read.")
        for name in sorted(files):
            if not is_document(name) or is_companion(name):
                continue
            path = os.path.join(root, name)  # noqa: PTH118 - see above
            if os.path.isfile(path):  # noqa: PTH113 - see above
                found.append(path)
            else:
                why = "a link that leads nowhere" if os.path.islink(path) else "no regular file"  # noqa: PTH114 - see above
                skipped(f"{path} is {why}, and not read.")
    return map(Path, sorted(found, key=lambda path: path.split(os.sep)))  # noqa: PTH206 - see above


def paths_listed(content: bytes, source: StoragePath) -> Iterator[StoragePath]:
    """Yield the paths that the bytes of a list name, relative ones beside the list.

    Names on Linux are bytes: if the bytes of a line are the name of a file, they mean that file.
    """
    lines, raw = _LINE_END.split(decoded(content)), content.splitlines()
    for number, line in enumerate(map(str.strip, lines)):
        if not line or line.startswith("#"):
            continue
        by_bytes = _beside(source, os.fsdecode(raw[number].strip())) if number < len(raw) else source
        by_text = _beside(source, line.replace("\0", ""))
        is_meant = (
            escape_surrogates(str(by_bytes)) != str(by_bytes) and isinstance(by_bytes, Path) and _exists(by_bytes)
        )
        yield by_bytes if is_meant else by_text


def _beside(source: StoragePath, line: str) -> StoragePath:
    alone = is_url(line) or line.startswith(("/", "~"))
    return parse_path(line) if alone else source.parent / line


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # not a possible name of a file
        return False
