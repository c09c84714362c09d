"""Page times of runs that were made, from the manifests below a directory or an s3:// prefix."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from tasks.core.errors import HearthError
from tasks.costs.assumptions import Assumptions
from tasks.planning.page_times import PageTimes
from tasks.results.page import PageStatus
from tasks.results.store import ResultStore
from tasks.storage.files import StoragePath

_KEPT = 2_000
_ENOUGH = 20
_MOST_ASKED = 20
"""Documents that are looked at in S3: each takes some requests."""


def page_times(output: StoragePath, model: str, given: Assumptions) -> PageTimes:
    """Page times measured with this model, if there are enough; otherwise those that are assumed.

    However many pages were read, no more than a sample of them is held in memory.
    """
    chosen: list[float] = []
    seen = 0
    stream = random.Random(given.seed)  # noqa: S311 - not for secrets
    try:
        for directory in _documents(output, stream):
            manifest = ResultStore(directory).manifest()
            if manifest is None or manifest.model != model:
                continue
            for entry in manifest.pages:
                if entry.status is not PageStatus.READ or entry.seconds <= 0:
                    continue
                seen += 1
                if len(chosen) < _KEPT:
                    chosen.append(entry.seconds)
                elif (place := stream.randrange(seen)) < _KEPT:
                    chosen[place] = entry.seconds
    except HearthError as error:
        return PageTimes(given, source=f"assumed, as those below {output} cannot be read: {error}")
    if seen < _ENOUGH:
        return PageTimes(given, source=f"assumed, for want of {_ENOUGH} pages that {model} has read")
    return PageTimes(given, tuple(chosen), f"measured, of {seen:,} pages that {model} has read")


def _documents(output: StoragePath, stream: random.Random) -> Sequence[StoragePath]:
    """Where results lie; in S3 some of them."""
    if isinstance(output, Path):
        return sorted(path.parent for path in output.glob("*/manifest.json"))
    from tasks.storage import s3_client as objects

    found = list(objects.list_folders(output))
    return stream.sample(found, min(len(found), _MOST_ASKED))
