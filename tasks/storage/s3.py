"""A directory under s3://, laid out as one of this machine."""

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
from tasks.storage import s3_client as objects
from tasks.storage import s3_lock as s3_turn
from tasks.storage.cache import ObjectCache

# Objects asked for at once, and how many names are looked up in one listing.
_AT_ONCE, _LOOKED_UP = 16, 1000
_TURN_POLL_SECONDS = 2.0
_LARGEST_IN_MEMORY = 1_000_000
_CHANGE_SECONDS, _LONGEST_PAUSE = 60.0, 2.0
_REWRITES = 3
_LOCK = ".lock"

_known: WeakValueDictionary[S3Path, S3Files] = WeakValueDictionary()


def s3_files(place: S3Path) -> S3Files:
    """The files of a place: the same ones for all of this process who use them now."""
    files = _known.get(place)
    if files is None:
        files = _known[place] = S3Files(place)
    return files


class S3Files:
    """See `Files`. A turn is an object that must be renewed; see `S3Lock`."""

    def __init__(self, place: S3Path) -> None:
        self.place = place
        self._kept = ObjectCache()
        self._turn: s3_turn.S3Lock | None = None

    def make(self) -> None:
        """S3 has no directories."""

    def prepare(self, folder: str) -> None:
        """See `Files`."""
        try:
            next(objects.below(self.place / folder, most=1), None)
            s3_turn.make(self.place / _LOCK)
        except CloudError as error:
            raise OutputError(
                f"The results cannot be written to {self.place}: {objects.why(error)}, "
                "or choose another place with --output."
            ) from None

    @asynccontextmanager
    async def turn(self, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """See `Files`. A run that died has it for `s3_turn.SECONDS` at most."""
        turn = s3_turn.S3Lock(self.place / _LOCK)
        with _writing(self.place):
            while not await asyncio.to_thread(turn.take):
                waiting()
                await asyncio.sleep(_TURN_POLL_SECONDS)
        self._turn = turn
        try:
            yield
        finally:
            self._turn = None
            turn.release()

    def has(self, name: str) -> bool:
        """See `Files`."""
        with _reading(self.place / name):
            return objects.head(self.place / name) is not None

    def read(self, name: str) -> bytes | None:
        """See `Files`."""
        with _reading(self.place / name):
            found = objects.get(self.place / name)
        return found.body if found else None

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """See `Files`. A listing tells which of them there are, so that only those that are not kept are fetched."""
        left = iter(names)
        while some := list(islice(left, _LOOKED_UP)):
            with _reading(self.place):
                etags = self._etags(some)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                asked: deque[Future[bytes | None]] = deque()
                try:
                    for name in some:
                        asked.append(pool.submit(self._as_listed, name, etags.get(name)))
                        if len(asked) > _AT_ONCE:
                            yield asked.popleft().result()
                    while asked:
                        yield asked.popleft().result()
                finally:
                    for future in asked:
                        future.cancel()

    def _etags(self, names: list[str]) -> dict[str, str]:
        """The ETags of those that there are."""
        wanted, last = set(names), max(names)
        first = min(names)
        folder = first.rpartition("/")[0]
        etags = {}
        # The name before the first: S3 tells only what comes after one.
        for found in objects.below(self.place, f"{folder}/" if folder else "", after=first[:-1]):
            name = found.place.key.removeprefix(self.place.folder)
            if name > last:
                break
            if name in wanted:
                etags[name] = found.etag
        return etags

    def _as_listed(self, name: str, etag: str | None) -> bytes | None:
        if etag is None:
            return None
        body = self._kept.get(name, etag)
        if body is None:
            with _reading(self.place / name):
                found = objects.get(self.place / name)
            if found is None:
                return None
            body = found.body
            self._kept.put(name, found.etag, body)
        return body

    @contextmanager
    def lines(self, name: str) -> Iterator[Iterator[str]]:
        """See `Files`."""
        place = self.place / name
        with tempfile.SpooledTemporaryFile(_LARGEST_IN_MEMORY) as file:
            with _reading(place):
                if not objects.download(place, file):
                    raise FileNotFoundError(str(place))
            file.seek(0)
            with io.TextIOWrapper(file, encoding="utf-8") as lines:
                yield lines

    def write(self, name: str, parts: Iterable[str]) -> None:
        """See `Files`."""
        place = self.place / name
        with _writing(place), tempfile.SpooledTemporaryFile(_LARGEST_IN_MEMORY) as file:
            for part in parts:
                file.write(part.encode())
            file.seek(0)
            objects.upload(place, file)

    def replace(self, name: str, text: str, stays: Callable[[bytes], bool]) -> None:
        """See `Files`. A turn is lost if S3 does not hear of it for long, so that others may have written meanwhile."""
        place, body = self.place / name, text.encode()
        with _writing(place):
            self._change(place, lambda stored: None if stored and self._left(stored, body, stays) else body)

    def append(self, name: str, text: str) -> None:
        """See `Files`."""
        place, added = self.place / name, text.encode()

        def whole(stored: objects.Stored | None) -> bytes | None:
            if stored is None:
                return added
            return None if stored.body.endswith(added) else stored.body + added

        with _writing(place):
            self._change(place, whole)

    def rewrite(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """See `Files`. While others add to it again and again, it is left for the next time."""
        place = self.place / name
        with _writing(place):
            for _ in range(_REWRITES):
                stored = objects.get(place)
                if stored is None or (body := change(stored.body)) == stored.body:
                    return
                if objects.put(place, body, over=stored.etag):
                    return

    def _change(self, place: S3Path, content: Callable[[objects.Stored | None], bytes | None]) -> None:
        """Write an object that is made of what is there, if anything; None leaves that."""
        stored: objects.Stored | None = None
        token = self._turn.token if self._turn else ""
        until, pause = time.monotonic() + _CHANGE_SECONDS, 0.1
        while True:
            body = content(stored)
            if body is None or objects.put(place, body, over=stored.etag if stored else None, turn=token):
                return
            if time.monotonic() > until:  # each that loses has lost to one that won: by their number it proves nothing
                raise CloudError("other runs write it again and again")
            if stored is not None:  # somebody was quicker. What is read before a pause is old after it
                time.sleep(random.uniform(0, pause))  # noqa: S311 - not for secrets
                pause = min(_LONGEST_PAUSE, 2 * pause)
            stored = objects.get(place)

    def _left(self, stored: objects.Stored, body: bytes, stays: Callable[[bytes], bool]) -> bool:
        """Whether what is there is left: our own, or another run's that has our turn by now."""
        if stored.body == body:
            return True
        turn = self._turn
        if turn is None or turn.began is None or stored.turn == turn.token:
            return False
        return stored.modified > turn.began and stays(stored.body)


@contextmanager
def _reading(place: S3Path) -> Iterator[None]:
    try:
        yield
    except CloudError as error:
        raise OutputError(
            f"{place} cannot be read: {objects.why(error)}, or choose another place with --output."
        ) from None


@contextmanager
def _writing(place: S3Path) -> Iterator[None]:
    try:
        yield
    except CloudError as error:
        raise StorageError(
            f"{place} cannot be written: {objects.why(error)} and run again; the pages stored so far stand."
        ) from None
    except OSError as error:  # of the temporary file
        raise StorageError(
            f"{place} cannot be written: {error.strerror} in {tempfile.gettempdir()}. Mend this and run again; "
            "the pages stored so far stand."
        ) from None
