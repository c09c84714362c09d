"""A directory of results under s3://, laid out like one on this machine."""

from __future__ import annotations

import asyncio
import io
import random
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from weakref import WeakValueDictionary

from tasks.core.errors import CloudError, OutputError, StorageError
from tasks.core.paths import S3Path
from tasks.storage import s3_client
from tasks.storage.cache import ObjectCache
from tasks.storage.s3_lock import S3Lock, create_unlocked

LOCK_POLL_SECONDS = 2.0
# Parallel requests for objects, and names that are looked up in one listing.
_PARALLEL, _LOOKED_UP = 16, 1000
_LARGEST_IN_MEMORY = 1_000_000
_CHANGE_SECONDS, _LONGEST_PAUSE = 60.0, 2.0
_REWRITES = 3
_LOCK = ".lock"

files_in_use: WeakValueDictionary[S3Path, S3Files] = WeakValueDictionary()


def s3_files(path: S3Path) -> S3Files:
    """Return the files of a directory; all of this process that use them at the same time share one object."""
    files = files_in_use.get(path)
    if files is None:
        files = files_in_use[path] = S3Files(path)
    return files


class S3Files:
    """See `Files`. The lock is an object that its holder must renew; see `S3Lock`."""

    def __init__(self, path: S3Path) -> None:
        self.path = path
        self._cache = ObjectCache()
        self._lock: S3Lock | None = None

    def mkdir(self) -> None:
        """S3 has no directories."""

    def prepare(self, folder: str) -> None:
        """See `Files`."""
        try:
            next(s3_client.list_objects(self.path / folder, most=1), None)
            create_unlocked(self.path / _LOCK)
        except CloudError as error:
            raise OutputError(
                f"The results cannot be written to {self.path}: {s3_client.advice(error)}, "
                "or choose another directory with --output."
            ) from None

    @asynccontextmanager
    async def lock(self, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """See `Files`. The lock of a run that died expires; see `s3_lock.EXPIRY_SECONDS`."""
        lock = S3Lock(self.path / _LOCK)
        with _writing(self.path):
            while not await asyncio.to_thread(lock.take):
                waiting()
                await asyncio.sleep(LOCK_POLL_SECONDS)
        self._lock = lock
        try:
            yield
        finally:
            self._lock = None
            lock.release()

    def names(self, folder: str = "") -> Iterator[str]:
        """See `Files`."""
        path = self.path / folder
        with _reading(path):
            yield from s3_client.list_names(path)

    def exists(self, name: str) -> bool:
        """See `Files`."""
        with _reading(self.path / name):
            return s3_client.head(self.path / name) is not None

    def read(self, name: str) -> bytes | None:
        """See `Files`."""
        with _reading(self.path / name):
            stored = s3_client.get(self.path / name)
        return stored.body if stored else None

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """See `Files`. A listing shows which of them exist, so that only those that are not cached are fetched."""
        remaining = iter(names)
        while some := list(islice(remaining, _LOOKED_UP)):
            with _reading(self.path):
                etags = self._etags(some)
            with ThreadPoolExecutor(_PARALLEL) as pool:
                requests: deque[Future[bytes | None]] = deque()
                try:
                    for name in some:
                        requests.append(pool.submit(self._read_listed, name, etags.get(name)))
                        if len(requests) > _PARALLEL:
                            yield requests.popleft().result()
                    while requests:
                        yield requests.popleft().result()
                finally:
                    for future in requests:
                        future.cancel()

    def _etags(self, names: list[str]) -> dict[str, str]:
        """Return the ETags of those names that exist."""
        wanted, first, last = set(names), min(names), max(names)
        folder = first.rpartition("/")[0]
        etags = {}
        # A listing begins after a name: the first without its last character comes before it.
        for listed in s3_client.list_objects(self.path, f"{folder}/" if folder else "", after=first[:-1]):
            name = listed.path.key.removeprefix(self.path.folder)
            if name > last:
                break
            if name in wanted:
                etags[name] = listed.etag
        return etags

    def _read_listed(self, name: str, etag: str | None) -> bytes | None:
        if etag is None:
            return None
        body = self._cache.get(name, etag)
        if body is None:
            with _reading(self.path / name):
                stored = s3_client.get(self.path / name)
            if stored is None:
                return None
            body = stored.body
            self._cache.put(name, stored.etag, body)
        return body

    @contextmanager
    def lines(self, name: str) -> Iterator[Iterator[str]]:
        """See `Files`."""
        path = self.path / name
        with tempfile.SpooledTemporaryFile(_LARGEST_IN_MEMORY) as file:
            with _reading(path):
                if not s3_client.download(path, file):
                    raise FileNotFoundError(str(path))
            file.seek(0)
            with io.TextIOWrapper(file, encoding="utf-8") as lines:
                yield lines

    def write(self, name: str, parts: Iterable[str]) -> None:
        """See `Files`."""
        path = self.path / name
        with _writing(path), tempfile.SpooledTemporaryFile(_LARGEST_IN_MEMORY) as file:
            for part in parts:
                file.write(part.encode())
            file.seek(0)
            s3_client.upload(path, file)

    def replace(self, name: str, text: str, keep: Callable[[bytes], bool]) -> None:
        """See `Files`. A run that cannot reach S3 for long loses its lock: another may have written meanwhile."""
        path, body = self.path / name, text.encode()
        with _writing(path):
            self._change(path, lambda stored: None if stored and self._is_kept(stored, body, keep) else body)

    def append(self, name: str, text: str) -> None:
        """See `Files`."""
        path, added = self.path / name, text.encode()

        def whole(stored: s3_client.Stored | None) -> bytes | None:
            if stored is None:
                return added
            return None if stored.body.endswith(added) else stored.body + added

        with _writing(path):
            self._change(path, whole)

    def rewrite(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """See `Files`. If others append to it again and again, it is left for the next time."""
        path = self.path / name
        with _writing(path):
            for _ in range(_REWRITES):
                stored = s3_client.get(path)
                if stored is None or (body := change(stored.body)) == stored.body:
                    return
                if s3_client.put(path, body, over=stored.etag):
                    return

    def _change(self, path: S3Path, content: Callable[[s3_client.Stored | None], bytes | None]) -> None:
        """Write an object whose content depends on what is stored, if anything; None leaves that as it is."""
        stored: s3_client.Stored | None = None
        token = self._lock.token if self._lock else ""
        until, pause = time.monotonic() + _CHANGE_SECONDS, 0.1
        while True:
            body = content(stored)
            if body is None or s3_client.put(path, body, over=stored.etag if stored else None, lock=token):
                return
            # Each conflict means that another run wrote, so that their number proves nothing: time decides.
            if time.monotonic() > until:
                raise CloudError("other runs write it again and again")
            if stored is not None:  # pause before reading: what is read before a pause is old after it
                time.sleep(random.uniform(0, pause))  # noqa: S311 - not for secrets
                pause = min(_LONGEST_PAUSE, 2 * pause)
            stored = s3_client.get(path)

    def _is_kept(self, stored: s3_client.Stored, body: bytes, keep: Callable[[bytes], bool]) -> bool:
        """Return whether an object stays: our own content, or that of a run that has taken our lock meanwhile."""
        if stored.body == body:
            return True
        lock = self._lock
        if lock is None or lock.began is None or stored.lock == lock.token:
            return False
        return stored.modified > lock.began and keep(stored.body)


@contextmanager
def _reading(path: S3Path) -> Iterator[None]:
    try:
        yield
    except CloudError as error:
        raise OutputError(
            f"{path} cannot be read: {s3_client.advice(error)}, or choose another directory with --output."
        ) from None


@contextmanager
def _writing(path: S3Path) -> Iterator[None]:
    try:
        yield
    except CloudError as error:
        raise StorageError(
            f"{path} cannot be written: {s3_client.advice(error)} and run again; the pages stored so far are kept."
        ) from None
    except OSError as error:  # of the temporary file
        raise StorageError(
            f"{path} cannot be written: {error.strerror} in {tempfile.gettempdir()}. Fix this and run again; "
            "the pages stored so far are kept."
        ) from None
