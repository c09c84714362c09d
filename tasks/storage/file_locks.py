"""Who is using a server on this machine. A lease is a lock that the system itself takes back.

Each run holds a shared lock on the server's lease file; the watchdog stops the server only while it holds the
same file exclusively. Nothing expires and nothing is renewed: a run that ends in whatever way, `kill -9`
included, has let go, and a lease taken at the last moment either comes first, so that the server stays,
or waits until it is gone, and then starts another.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextvars import copy_context
from pathlib import Path

from tasks.core.errors import StorageError
from tasks.core.events import RunWarning, emit
from tasks.core.owners import foreign_holder
from tasks.core.private import access_message, open_private

NAMED_SECONDS = 2.0
"""How long a lock is waited for before its holder is named, if that is another user."""


class FileLease:
    """A held lock on a file; `release`, losing it or the end of the process lets go."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let go. Doing it twice is harmless."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        # A thread that was waiting for it when its caller was cancelled takes it for nobody.
        self.release()


def take_shared(path: Path) -> FileLease:
    """Take a lease beside others; wait while somebody holds the file exclusively."""
    return FileLease(_locked(path, fcntl.LOCK_SH))


def take_exclusive(path: Path) -> FileLease:
    """Take the file for oneself; wait until nobody else holds it."""
    return FileLease(_locked(path, fcntl.LOCK_EX))


def try_exclusive(path: Path) -> FileLease | None:
    """Take the file for oneself if nobody holds it, otherwise return None at once."""
    try:
        return FileLease(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return None


def is_held(path: Path) -> bool:
    """Whether anybody holds the file exclusively. Two that ask at once do not take each other for a holder."""
    if not path.exists():
        return False
    try:
        FileLease(_locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB)).release()
    except BlockingIOError:
        return True
    return False


def remove_unheld(path: Path) -> bool:
    """Remove a lock's file; False if somebody holds it. Whoever waits for it meanwhile makes another."""
    lease = try_exclusive(path)
    if lease is None:
        return False
    path.unlink(missing_ok=True)
    lease.release()
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of that name: a lock on one that was removed or replaced locks nothing."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def name_stranger(path: Path) -> None:
    """Warn that a file is waited for, if another user holds it."""
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
        naming = threading.Timer(NAMED_SECONDS, copy_context().run, [name_stranger, path])
        naming.daemon = True
        naming.start()
        try:
            fcntl.flock(descriptor, operation)
        finally:
            naming.cancel()
