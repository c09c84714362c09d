"""Files and directories for their owner alone, whatever the umask, or for a group if HEARTH_SHARED says so."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from tasks.core.errors import StorageError
from tasks.core.owners import user_name

SHARED = "HEARTH_SHARED"
"""Read at each use, because child processes inherit it."""


class Sharing(StrEnum):
    """Who may use the files that Hearth stores on this machine."""

    NO = "no"
    """Their owner."""
    GROUP = "group"
    """The group of the directory, too."""
    ALL = "all"
    """Everyone whom the umask admits."""


_BITS = {Sharing.NO: 0o700, Sharing.GROUP: 0o770}


def sharing() -> Sharing:
    """Return who may use new files; their owner alone if the variable is invalid."""
    try:
        return Sharing(os.environ.get(SHARED, "").strip().lower() or Sharing.NO)
    except ValueError:
        return Sharing.NO


def set_umask() -> None:
    """Apply the rule to files that libraries and child processes create."""
    if bits := _BITS.get(sharing()):
        os.umask(0o777 & ~bits)


def make_directory(path: Path, *, ours: bool = True) -> None:
    """Make a directory and its parents. One of `ours` that an earlier version made is restricted, too.

    Raises:
        OSError: it cannot be made.
    """
    bits = _BITS.get(sharing())
    if not path.parent.exists():
        make_directory(path.parent, ours=False)
    try:
        path.mkdir(mode=bits or 0o777)
    except OSError:
        if not path.is_dir():
            raise
        if ours:
            restrict(path)
    else:
        if bits and bits & stat.S_IRWXG:  # the umask may have removed it; new files in it get its group
            path.chmod(bits | stat.S_ISGID)


def restrict(path: Path) -> None:
    """Close a file or directory of this user to everyone whom HEARTH_SHARED does not name."""
    bits = _BITS.get(sharing())
    with suppress(OSError):
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        everyones = mode & stat.S_ISVTX
        if bits is not None and status.st_uid == os.geteuid() and not everyones and mode & 0o777 & ~bits:
            path.chmod(mode & ~(0o777 & ~bits))


def is_open_to_others(path: Path) -> bool:
    """Return whether anyone whom HEARTH_SHARED does not name may use a file or directory; no if it is missing."""
    bits = _BITS.get(sharing())
    try:
        return bits is not None and bool(path.stat().st_mode & 0o777 & ~bits)
    except OSError:
        return False


def open_private(path: Path, flags: int) -> int:
    """Open or create a private file and return its descriptor. A file of an earlier version is restricted.

    Raises:
        OSError: it cannot be opened.
    """
    bits = _BITS.get(sharing())
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666 & (bits or 0o777))
    if bits is not None:
        status = os.fstat(descriptor)
        wrong = stat.S_ISREG(status.st_mode) and status.st_mode & 0o777 != 0o666 & bits
        if wrong and status.st_uid == os.geteuid():
            with suppress(OSError):  # a file system without modes
                os.fchmod(descriptor, 0o666 & bits)
    return descriptor


def create_file(path: Path, mode: str = "w") -> Any:  # noqa: ANN401 - as `open` has it
    """Open an empty private file for writing: as text in UTF-8, unless `mode` (w, wb or x) says otherwise."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if "x" in mode else os.O_TRUNC)
    descriptor = open_private(path, flags)
    return os.fdopen(descriptor, mode.replace("x", "w"), encoding=None if "b" in mode else "utf-8")


def write_text(path: Path, text: str) -> None:
    """Write a private file."""
    with create_file(path) as file:
        file.write(text)


def restrict_directory(path: Path, is_ours: Callable[[str], object]) -> str | None:
    """Restrict a directory of an earlier version, if it holds only entries whose names are Hearth's.

    Returns:
        What a person should do if the directory stays open to others; None if there is nothing to do.

    Raises:
        StorageError: it belongs to another user, and this one may not use it.
    """
    check_access(path)
    if not is_open_to_others(path):
        return None
    if path.stat().st_uid == os.geteuid() and all(map(is_ours, os.listdir(path))):  # noqa: PTH208 - names alone
        restrict(path)
    if not is_open_to_others(path):
        return None
    mode = stat.S_IMODE(path.stat().st_mode)
    return (
        f"Other users may list {path} (mode {mode:o}), but cannot read what Hearth writes there. "
        f"Close it with chmod 700, or set {SHARED}=group or {SHARED}=all."
    )


def check_access(path: Path) -> None:
    """Check that this user may use a directory.

    Raises:
        StorageError: another user's directory is closed to this one; the message names the owner.
    """
    existing, owner = next(_existing(path))
    if owner != os.geteuid() and not os.access(existing, os.X_OK | (os.R_OK | os.W_OK if existing == path else 0)):
        raise StorageError(access_message(existing))


def access_message(path: Path) -> str:
    """Return the error text for a file or directory that this user may not use: it names the owner."""
    existing, owner = next(_existing(path))
    return (
        f"{existing} belongs to {user_name(owner)}, and {user_name(os.geteuid())} may not use it. Use directories of "
        f"your own (HEARTH_HOME, HEARTH_OUTPUT, API_DIRECTORY), or share these: {SHARED}=group for all who use them."
    )


def _existing(path: Path) -> Iterator[tuple[Path, int]]:
    """Yield a path and its parents, as far as they can be seen, with their owners."""
    for place in (path, *path.parents):
        with suppress(OSError):
            yield place, place.stat().st_uid
