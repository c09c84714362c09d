"""Locks on files of this machine. The system itself releases a lock when its process ends.

Each run holds a shared lock on the lease file of its server; the watchdog stops the server only while it holds the
same file exclusively. Nothing expires and nothing is renewed: a run that ends in whatever way, `kill -9` included,
has released its lock. A lock that is taken at the last moment either comes first, so that the server stays, or waits
until the server has stopped, and the run starts another one.
"""

import fcntl
import os
import threading
from contextvars import copy_context
from pathlib import Path
from typing import Self

from tasks.core.errors import StorageError
from tasks.core.events import RunWarning, emit
from tasks.core.owners import foreign_holder
from tasks.core.private import access_message, open_private

NAMED_SECONDS = 2.0
"""Wait for a lock after which its holder is named, if that is another user."""


class FileLock:
    """A lock on a file, released by `release`, at the end of a `with` block, or when the object or process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        """Hold the lock until the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self.release()

    def __del__(self) -> None:
        # If a caller is cancelled while a thread waits for the lock, nobody is left to release it.
        self.release()


def take_shared(path: Path) -> FileLock:
    """Take a shared lock; wait while somebody holds the file exclusively."""
    return FileLock(_locked(path, fcntl.LOCK_SH))


def take_exclusive(path: Path) -> FileLock:
    """Take an exclusive lock; wait until nobody else holds the file."""
    return FileLock(_locked(path, fcntl.LOCK_EX))


def try_exclusive(path: Path) -> FileLock | None:
    """Take an exclusive lock, or return None at once if somebody holds the file."""
    try:
        return FileLock(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return None


def is_held(path: Path) -> bool:
    """Return whether somebody holds the file exclusively. Simultaneous calls do not mistake each other for a holder."""
    if not path.exists():
        return False
    try:
        FileLock(_locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB)).release()
    except BlockingIOError:
        return True
    return False


def remove_unheld(path: Path) -> bool:
    """Remove a lock's file; return False if somebody holds it. A process that is waiting for it creates another."""
    lock = try_exclusive(path)
    if lock is None:
        return False
    with lock:
        path.unlink(missing_ok=True)
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has this name: a lock on a removed or replaced file locks nothing."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def warn_of_foreign_holder(path: Path) -> None:
    """Warn that this run waits for a file, if another user holds it."""
    if who := foreign_holder(path):
        emit(RunWarning(f"{path} is held by {who}: this run waits until it is free. Ask them to end what holds it."))


def _locked(path: Path, operation: int) -> int:
    while True:
        try:
            descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
        except PermissionError:
            raise StorageError(access_message(path)) from None
        try:
            _flock(path, descriptor, operation)
            if is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _flock(path: Path, descriptor: int, operation: int) -> None:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        if operation & fcntl.LOCK_NB:
            raise
        naming = threading.Timer(NAMED_SECONDS, copy_context().run, [warn_of_foreign_holder, path])
        naming.daemon = True
        naming.start()
        try:
            fcntl.flock(descriptor, operation)
        finally:
            naming.cancel()
