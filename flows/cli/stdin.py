"""Read a document from standard input into a temporary file."""

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
    """Store standard input in a private file of this name, which is deleted afterwards.

    The name is that of the results; earlier results of the same bytes are reused, whatever their name.

    Raises:
        InputError: the name is no file name, or standard input is empty or larger than `most_mb` megabytes.
        StorageError: the file cannot be written.
    """
    if name in {"", ".", ".."} or {"/", "\0"} & set(name) or len(name.encode(errors="replace")) > _MOST_NAME_BYTES:
        raise InputError(f"--name is {name[:80]!r}. Give it a file name without folders, such as paper.pdf.")
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
                        f"Standard input exceeds {most_mb} MB (HEARTH_LIMITS__FILE_MB). Nothing of it was read."
                    )
                file.write(chunk)
    except OSError as error:
        raise StorageError(f"Standard input cannot be stored in {path.parent}: {error.strerror}.") from None
    if not size:
        raise InputError("Standard input is empty. Write: hearth read - < FILE.pdf")
