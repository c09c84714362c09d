"""JSONL files to which runs append lines, rewritten without outdated lines."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tasks.batches.document_index import INDEX
from tasks.retention.expired import DAY_SECONDS, Expired, Kind
from tasks.runs.usage_log import MACHINES
from tasks.settings.retention import RetentionSettings
from tasks.storage.files import StoragePath, files_at

# Smaller files, and smaller shares of outdated lines, are not worth rewriting.
LEAST_LINES = 1000
LEAST_SHARE = 0.25

Thinned = Callable[[list[bytes]], list[bytes]]


def outdated_index(output: StoragePath) -> Iterator[Expired]:
    """Yield lines of documents that have newer lines, once they are a quarter of all lines."""
    yield from _thinned(output, INDEX, Kind.INDEX, _last_of_each)


def expired_costs(output: StoragePath, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Yield usage records of machines that are older than costs are kept."""
    before = now - retention.costs_days * DAY_SECONDS

    def later(lines: list[bytes]) -> list[bytes]:
        return [line for line in lines if _time_of(line) >= before]

    yield from _thinned(output, MACHINES, Kind.COSTS, later)


def _thinned(output: StoragePath, name: str, kind: Kind, thin: Thinned) -> Iterator[Expired]:
    files = files_at(output)
    before = (files.read(name) or b"").splitlines(keepends=True)
    after = thin(before)
    gone = len(before) - len(after)
    if len(before) >= LEAST_LINES and gone > LEAST_SHARE * len(before):
        freed = sum(map(len, before)) - sum(map(len, after))
        yield Expired(kind, gone, freed, partial(_rewrite, output, name, thin))


def _rewrite(output: StoragePath, name: str, thin: Thinned) -> bool:
    files_at(output).rewrite(name, lambda text: b"".join(thin(text.splitlines(keepends=True))))
    return True


def _last_of_each(lines: list[bytes]) -> list[bytes]:
    last = {path: number for number, line in enumerate(lines) if (path := _facts(line).get("path")) is not None}
    return [lines[number] for number in sorted(last.values())]


def _time_of(line: bytes) -> float:
    facts = _facts(line)
    try:
        return float(facts.get("ended", facts.get("started", 0.0)))
    except (TypeError, ValueError):
        return 0.0


def _facts(line: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(line)
    except ValueError:  # cut off when a run was killed
        return {}
    return facts if isinstance(facts, dict) else {}
