"""Page times of earlier runs, from the manifests below a directory or an s3:// prefix."""

import random
from collections.abc import Sequence
from pathlib import Path

from tasks.core.errors import HearthError
from tasks.costs.assumptions import Assumptions
from tasks.planning.page_times import PageTimes
from tasks.results.page import PageStatus
from tasks.results.store import ResultStore
from tasks.storage.files import StoragePath

_SAMPLE_SIZE = 2_000
_MIN_PAGES = 20
_MAX_S3_DOCUMENTS = 20
"""Documents that are read from S3: each takes some requests."""


def page_times(output: StoragePath, model: str, given: Assumptions) -> PageTimes:
    """Return page times measured with this model if there are enough, otherwise the assumed ones.

    No more than a sample of the pages is held in memory.
    """
    sample: list[float] = []
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
                if len(sample) < _SAMPLE_SIZE:
                    sample.append(entry.seconds)
                elif (index := stream.randrange(seen)) < _SAMPLE_SIZE:
                    sample[index] = entry.seconds
    except HearthError as error:
        return PageTimes(given, source=f"assumed, because the results below {output} cannot be read: {error}")
    if seen < _MIN_PAGES:
        return PageTimes(given, source=f"assumed, because {model} has read fewer than {_MIN_PAGES} pages")
    return PageTimes(given, tuple(sample), f"measured, from {seen:,} pages that {model} has read")


def _documents(output: StoragePath, stream: random.Random) -> Sequence[StoragePath]:
    """Return the directories of results; in S3 a random sample of them."""
    if isinstance(output, Path):
        return sorted(path.parent for path in output.glob("*/manifest.json"))
    from tasks.storage import s3_client as objects

    found = list(objects.list_folders(output))
    return stream.sample(found, min(len(found), _MAX_S3_DOCUMENTS))
