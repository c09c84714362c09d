"""Stores of ledgers: their protocol, and files on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tasks.core.clock import MachineClock
from tasks.core.errors import StorageError
from tasks.core.file_locks import try_exclusive
from tasks.core.owners import foreign_holder
from tasks.core.private import access_message, make_directory, write_text
from tasks.slots.ledger import Ledger

_LOCK_POLL_SECONDS = 0.002
_LOCK_SECONDS = 10.0


class LedgerStore(Protocol):
    """The ledger of one server.

    Attributes:
        poll_seconds: between two looks of a run that waits for a slot.
        watch_seconds: between two looks of a run that has what it wants.
        lease_seconds: how long a claim lasts without a renewal.
        server: identifies the server among others that ran at its address before; empty if unknown.
    """

    poll_seconds: float
    watch_seconds: float
    lease_seconds: float
    server: str

    def now(self) -> float:
        """Return the time of its entries, seconds since the epoch: the same for all runs."""
        ...

    def stamp(self) -> object:
        """Return a value that changes whenever the ledger does, or None if that would cost a call."""
        ...

    async def change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        """Read the ledger, write the changed one unless it is the same, and return it. No other write comes between.

        `change` is called again with the new ledger if another run wrote first.

        Raises:
            HearthError: it cannot be reached, or not be written.
        """
        ...


class FileStore:
    """A ledger in a file, for the runs of this machine. A run that dies in a change leaves it as it was."""

    poll_seconds = 0.05
    watch_seconds = 0.25
    lease_seconds = 10.0

    def __init__(self, path: Path, server: str = "") -> None:
        self.server = server
        self._clock = MachineClock(path.parent)
        self.path = path
        self.lock_path = path.with_suffix(".lock")

    @classmethod
    def of(cls, home: Path, url: str, server: str = "") -> FileStore:
        """Return the ledger of the server at a URL, whatever the name of its host, in Hearth's directory."""
        parts = urlsplit(url)
        address = f"{_address(parts.hostname or '')} {parts.port} {parts.path}"
        return cls(home / "slots" / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.json", server)

    def now(self) -> float:
        """See `LedgerStore`."""
        return self._clock.now()

    def stamp(self) -> object:
        """See `LedgerStore`."""
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    async def change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        """See `LedgerStore`."""
        try:
            async with self._locked():
                # Nothing is awaited from here on: it takes some hundred microseconds, and holds up no other run.
                before = self._read()
                after = change(before)
                if after != before:
                    self._write(after)
                return after
        except PermissionError as error:
            raise StorageError(access_message(Path(error.filename or self.lock_path))) from None
        except OSError as error:
            raise StorageError(
                f"{self.path.parent} cannot be used ({error.strerror}), where runs agree on slots. "
                "Make room, or set HEARTH_HOME to another place."
            ) from None

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        make_directory(self.path.parent)
        try:
            async with asyncio.timeout(_LOCK_SECONDS):
                while (lock := try_exclusive(self.lock_path)) is None:  # noqa: ASYNC110 - no event tells when it is free
                    await asyncio.sleep(_LOCK_POLL_SECONDS)
        except TimeoutError:
            who = foreign_holder(self.lock_path) or "a process that does not go on"
            raise StorageError(f"{self.lock_path} is held by {who}. End it, and run again.") from None
        with lock:
            yield

    def _read(self) -> Ledger:
        try:
            return Ledger.read(self.path.read_bytes())
        except FileNotFoundError:
            return Ledger()

    def _write(self, ledger: Ledger) -> None:
        temporary = self.path.with_suffix(".tmp")
        write_text(temporary, ledger.model_dump_json())
        temporary.replace(self.path)


def _address(host: str) -> str:
    """Return the first of a host's addresses, IPv4 first; its name if it has none now."""
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return host
    return min((family, str(address[0])) for family, _, _, _, address in found)[1]
