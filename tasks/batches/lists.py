"""Lists of documents: text files in any encoding, with a path on each line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tasks.core.escaping import escape_surrogates
from tasks.core.paths import StoragePath, is_url, parse_path
from tasks.text.legible import decoded

_LINE_END = re.compile(r"\r\n|\r|\n")


def places_listed(content: bytes, source: StoragePath) -> Iterator[StoragePath]:
    """Yield the paths that a list names, relative ones beside the list.

    Names on Linux are bytes: if the bytes of a line are the name of a file, they mean that file.

    Args:
        content: bytes of the list.
        source: where the list is.
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
