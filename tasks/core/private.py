"""Files and directories that their owner alone may use, whatever the umask; or a group, if HEARTH_SHARED says so."""

from __future__ import annotations

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
"""Is read at each use, since processes that Hearth starts inherit it."""


class Sharing(StrEnum):
    """Who may use what Hearth stores on this machine."""

    NO = "no"
    """Its owner alone."""
    GROUP = "group"
    """The group of the directory, too."""
    ALL = "all"
    """Whoever the umask lets in."""


_BITS = {Sharing.NO: 0o700, Sharing.GROUP: 0o770}


def sharing() -> Sharing:
    """Return who may use what is made from now on; its owner alone if the variable is not understood."""
    try:
        return Sharing(os.environ.get(SHARED, "").strip().lower() or Sharing.NO)
    except ValueError:
        return Sharing.NO


def set_umask() -> None:
    """Have libraries and child processes make their files by the same rule."""
    if bits := _BITS.get(sharing()):
        os.umask(0o777 & ~bits)


def make_directory(path: Path, *, ours: bool = True) -> None:
    """Make a directory and what it is in.

    Args:
        path: the directory's.
        ours: whether nothing but Hearth's is in it, so that one of an earlier version is closed to others.

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
        if bits and bits & stat.S_IRWXG:  # which the umask may have taken; what is made in it is of its group
            path.chmod(bits | stat.S_ISGID)


def restrict(path: Path) -> None:
    """Close a file or directory of this user's to those that HEARTH_SHARED does not name."""
    with suppress(OSError):
        found = path.stat()
        if mode := _tightened(found):
            path.chmod(mode)


def is_open_to_others(path: Path) -> bool:
    """Return whether others than HEARTH_SHARED names may use a file or directory; not, if it is not there."""
    bits = _BITS.get(sharing())
    try:
        return bits is not None and bool(path.stat().st_mode & 0o777 & ~bits)
    except OSError:
        return False


def open_private(path: Path, flags: int) -> int:
    """Open a file and return its descriptor; it is made, or closed to others if it is of an earlier version.

    Raises:
        OSError: it cannot be opened.
    """
    bits = _BITS.get(sharing())
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666 & (bits or 0o777))
    if bits is not None:
        found = os.fstat(descriptor)
        wrong = stat.S_ISREG(found.st_mode) and found.st_mode & 0o777 != 0o666 & bits
        if wrong and found.st_uid == os.geteuid():
            with suppress(OSError):  # a file system without modes
                os.fchmod(descriptor, 0o666 & bits)
    return descriptor


def create_file(path: Path, mode: str = "w") -> Any:  # noqa: ANN401 - as `open` has it
    """Open a file of ours to write it anew, as text in UTF-8 unless `mode` says otherwise.

    Args:
        path: the file's.
        mode: w, wb or x.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if "x" in mode else os.O_TRUNC)
    descriptor = open_private(path, flags)
    return os.fdopen(descriptor, mode.replace("x", "w"), encoding=None if "b" in mode else "utf-8")


def write_text(path: Path, text: str) -> None:
    """Write a file of ours anew."""
    with create_file(path) as file:
        file.write(text)


def restrict_directory(path: Path, is_ours: Callable[[str], object]) -> str | None:
    """Close a directory of an earlier version to others, if nothing but Hearth's is in it.

    Args:
        path: the directory's.
        is_ours: tells by a name whether Hearth made the entry.

    Returns:
        What a person should do where it is left as it is; None if there is nothing to do.

    Raises:
        StorageError: it is another user's, and this one may not use it.
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
        f"Other users may see into {path} (mode {mode:o}); what Hearth writes there they cannot read. "
        f"Close it with chmod 700, or set {SHARED}=group or {SHARED}=all."
    )


def check_access(path: Path) -> None:
    """See that a directory, if it is another user's, may be used.

    Raises:
        StorageError: it may not; the message names its owner.
    """
    place, owner = next(_found(path))
    if owner != os.geteuid() and not os.access(place, os.X_OK | (os.R_OK | os.W_OK if place == path else 0)):
        raise StorageError(access_message(place))


def access_message(path: Path) -> str:
    """Return what to tell of a file or directory that this user may not use: whose it is, or what it is in."""
    place, owner = next(_found(path))
    return (
        f"{place} belongs to {user_name(owner)}, and {user_name(os.geteuid())} may not use it. Use directories of your "
        f"own (HEARTH_HOME, HEARTH_OUTPUT, API_DIRECTORY), or share these: {SHARED}=group for all who use them."
    )


def _found(path: Path) -> Iterator[tuple[Path, int]]:
    """Yield a file, if it can be seen, and what it is in, with their owners."""
    for place in (path, *path.parents):
        with suppress(OSError):
            yield place, place.stat().st_uid


def _tightened(found: os.stat_result) -> int | None:
    """Return the mode that a file should have; None if it is well, or not this user's, or everybody's on purpose."""
    bits = _BITS.get(sharing())
    mode = stat.S_IMODE(found.st_mode)
    if bits is None or found.st_uid != os.geteuid() or mode & stat.S_ISVTX or not mode & 0o777 & ~bits:
        return None
    return mode & ~(0o777 & ~bits)
