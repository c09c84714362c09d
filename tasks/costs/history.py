"""Page times of runs that were made, from the manifests below a directory."""

from __future__ import annotations

import random
from pathlib import Path

from tasks.costs.assumptions import Assumptions
from tasks.costs.pages import PageTimes
from tasks.files import Place
from tasks.manifest import PageStatus
from tasks.results import ResultStore

_KEPT = 2_000
_ENOUGH = 20


def page_times(output: Place, model: str, given: Assumptions) -> PageTimes:
    """Page times measured with this model, if there are enough; otherwise those that are assumed.

    However many pages were read, no more than a sample of them is held in memory.
    """
    if not isinstance(output, Path):
        return PageTimes(given, source="assumed; history is looked for in local directories alone")
    chosen: list[float] = []
    seen = 0
    stream = random.Random(given.seed)  # noqa: S311 - not for secrets
    for path in sorted(output.glob("*/manifest.json")):
        manifest = ResultStore(path.parent).manifest()
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
    if seen < _ENOUGH:
        return PageTimes(given, source=f"assumed, for want of {_ENOUGH} pages that {model} has read")
    return PageTimes(given, tuple(chosen), f"measured, of {seen:,} pages that {model} has read")
