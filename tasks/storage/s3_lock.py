"""Having a place in S3 for oneself: an object that its holder writes anew while it lives, each time on condition.

A run that dies leaves the object, and after `SECONDS` the next run takes it. Who has it and since when is told by S3's
clock alone: an object's age is the time of the answer minus that of the object's last change. A holder that S3 did
not hear of for so long has lost its turn without knowing; what it writes then does no harm, for pages are written on
condition, too: a page is at the worst read twice, and none is replaced by its like.
"""

from __future__ import annotations

import json
import threading
import uuid
from contextlib import suppress
from datetime import datetime

from tasks.core.errors import CloudError
from tasks.core.paths import S3Path
from tasks.storage import s3_client as objects

SECONDS = 30.0
"""How long a run that died keeps others from its document."""
_RENEWALS = 3
"""In that time, by a holder that lives."""


class S3Lock:
    """One run's turn, or its wish for one.

    Attributes:
        token: tells it from all others.
        began: when it began, by S3's clock; None before.
    """

    def __init__(self, place: S3Path) -> None:
        self.token = uuid.uuid4().hex
        self.began: datetime | None = None
        self._place = place
        self._over = threading.Event()
        self._renewal: threading.Thread | None = None

    def take(self) -> bool:
        """Have the turn if it is free; otherwise return False at once.

        Raises:
            CloudError: S3 refuses, or cannot be reached.
        """
        held = objects.get(self._place)
        if held is not None and not self._may_be_taken(held):
            return False
        if not self._write(held.etag if held else None):
            return False
        # Not by the event loop: that may be busy for longer than a turn lasts.
        self._renewal = threading.Thread(target=self._renew, name="hearth-turn", daemon=True)
        self._renewal.start()
        return True

    def release(self) -> None:
        """Let others have it."""
        self._over.set()
        if self._renewal is not None:
            self._renewal.join()
            with suppress(CloudError):  # it expires
                held = objects.get(self._place)
                if held is not None and _holder(held) == self.token:
                    objects.put(self._place, _record(""), over=held.etag)

    def _may_be_taken(self, held: objects.Stored) -> bool:
        return _holder(held) in {"", self.token} or (held.now - held.modified).total_seconds() > SECONDS

    def _write(self, over: str | None) -> bool:
        """Whether the object is ours now."""
        at = objects.put(self._place, _record(self.token), over=over)
        if at is None:
            held = objects.get(self._place)
            if held is None or _holder(held) != self.token:
                return False
            at = held.modified
        self.began = self.began or at
        return True

    def _renew(self) -> None:
        while not self._over.wait(SECONDS / _RENEWALS):
            with suppress(CloudError):
                held = objects.get(self._place)
                if held is not None and _holder(held) == self.token:
                    self._write(held.etag)


def make(place: S3Path) -> None:
    """Have a free one there, which proves that objects can be written so.

    Raises:
        CloudError: they cannot.
    """
    objects.put(place, _record(""), over=None)


def _record(holder: str) -> bytes:
    # No two are alike, nor are their ETags: who saw an older one must not take it for this one.
    return json.dumps({"turn": holder, "written": uuid.uuid4().hex}).encode()


def _holder(held: objects.Stored) -> str:
    try:
        return str(json.loads(held.body)["turn"])
    except (ValueError, TypeError, KeyError):
        return ""
