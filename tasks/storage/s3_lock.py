"""A lock in S3: an object that its holder rewrites while it runs, each time on condition that nobody else has.

A run that dies leaves the object, and after `EXPIRY_SECONDS` the next run takes the lock. Holder and age are decided
by S3's clock alone: an object's age is the time of the response minus that of the object's last change. A holder that
could not reach S3 for that long has lost the lock without knowing it. What it writes then does no harm, for pages are
written on condition, too: at worst a page is read twice, and none is replaced by a second reading of the same page.
"""

import json
import threading
import uuid
from contextlib import suppress
from datetime import datetime

from tasks.core.errors import CloudError
from tasks.core.paths import S3Path
from tasks.storage import s3_client

EXPIRY_SECONDS = 30.0
"""How long a run that died keeps others from its document."""
RENEWALS = 3
"""Renewals in that time by a holder that is alive."""


class S3Lock:
    """One run's lock, held or wanted.

    Attributes:
        token: distinguishes it from all others.
        began: when it was taken, by S3's clock; None before.
    """

    def __init__(self, path: S3Path) -> None:
        self.token = uuid.uuid4().hex
        self.began: datetime | None = None
        self._path = path
        self._released = threading.Event()
        self._renewal: threading.Thread | None = None

    def take(self) -> bool:
        """Take the lock if it is free; otherwise return False at once.

        Raises:
            CloudError: S3 refuses, or cannot be reached.
        """
        stored = s3_client.get(self._path)
        if stored is not None and not self._is_free(stored):
            return False
        if not self.write(stored.etag if stored else None):
            return False
        # In a thread: the event loop may be busy for longer than the lock lasts.
        self._renewal = threading.Thread(target=self._renew, name="hearth-s3-lock", daemon=True)
        self._renewal.start()
        return True

    def release(self) -> None:
        """Release the lock."""
        self._released.set()
        if self._renewal is not None:
            self._renewal.join()
            with suppress(CloudError):  # it expires
                stored = s3_client.get(self._path)
                if stored is not None and _holder(stored) == self.token:
                    s3_client.put(self._path, _record(""), over=stored.etag)

    def write(self, over: str | None) -> bool:
        """Write the lock's object over the version with this ETag, and return whether the lock is held now."""
        at = s3_client.put(self._path, _record(self.token), over=over)
        if at is None:
            stored = s3_client.get(self._path)
            if stored is None or _holder(stored) != self.token:
                return False
            at = stored.modified
        self.began = self.began or at
        return True

    def _is_free(self, stored: s3_client.Stored) -> bool:
        return _holder(stored) in {"", self.token} or (stored.now - stored.modified).total_seconds() > EXPIRY_SECONDS

    def _renew(self) -> None:
        while not self._released.wait(EXPIRY_SECONDS / RENEWALS):
            with suppress(CloudError):
                stored = s3_client.get(self._path)
                if stored is not None and _holder(stored) == self.token:
                    self.write(stored.etag)


def create_unlocked(path: S3Path) -> None:
    """Create the object of a lock that nobody holds, which proves that such objects can be written.

    Raises:
        CloudError: they cannot.
    """
    s3_client.put(path, _record(""), over=None)


def _record(holder: str) -> bytes:
    # Each has other content and thus another ETag, so that an older one is never taken for this one.
    return json.dumps({"turn": holder, "written": uuid.uuid4().hex}).encode()


def _holder(stored: s3_client.Stored) -> str:
    try:
        return str(json.loads(stored.body)["turn"])
    except (ValueError, TypeError, KeyError):
        return ""
