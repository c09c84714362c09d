"""A document from standard input: a file of its own for as long as it is read."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.core.errors import InputError, LimitError, StorageError

STDIN = "-"
_CHUNK = 1 << 20
_MOST_NAME_BYTES = 200


@contextmanager
def document_from_stdin(name: str, most_mb: int) -> Iterator[Path]:
    """Have what comes on standard input as a file that nobody else can read, and that goes afterwards.

    Args:
        name: the document's, as its results are called; what was read under another name is found by its bytes.
        most_mb: nothing larger is taken, megabytes.

    Raises:
        InputError: the name is not one of a file, nothing comes, or too much.
        StorageError: there is no room for it.
    """
    if name in {"", ".", ".."} or {"/", "\0"} & set(name) or len(name.encode(errors="replace")) > _MOST_NAME_BYTES:
        raise InputError(f"--name is {name[:80]!r}. Give it the name of a file without its folders, such as paper.pdf.")
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "- reads the document from standard input, which is a terminal. Write: hearth read - < FILE.pdf"
        )
    with tempfile.TemporaryDirectory(prefix="hearth-stdin-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, name)
        _fill(path, most_mb)
        yield path


def _fill(path: Path, most_mb: int) -> None:
    size = 0
    try:
        with path.open("xb") as file:
            while chunk := sys.stdin.buffer.read(_CHUNK):
                size += len(chunk)
                if size > most_mb * 1_000_000:
                    raise LimitError(
                        f"Standard input has more than {most_mb} MB (HEARTH_LIMITS__FILE_MB). Nothing of it is read."
                    )
                file.write(chunk)
    except OSError as error:
        raise StorageError(f"What comes on standard input cannot be kept in {path.parent}: {error.strerror}.") from None
    if not size:
        raise InputError("Standard input is empty. Write: hearth read - < FILE.pdf")
