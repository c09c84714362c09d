"""A plan, pages and a manifest of one document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.core.errors import FailureReason
from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import BackendName, Document, Plan, ReadOptions
from tasks.results.listing import Listing
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageEntry, PageResult, PageStatus
from tasks.results.store import ResultStore

DIGEST = "d" * 64
DOCUMENT = Document(path=Path("/papers/paper.pdf"), sha256="a" * 64, pages=9, size=1000)
OPTIONS = ReadOptions(prompt="Transcribe.", longest_side=1288, num_ctx=8192, num_predict=4096)


def planned(**changes: Any) -> Plan:
    return Plan(
        **{
            "document": DOCUMENT,
            "numbers": (1, 2, 3),
            "backend": BackendName.URL,
            "model": "qwen2.5vl:7b",
            "options": OPTIONS,
            "output": Path("/results"),
            "slots": 4,
            "attempts": 3,
            "force": False,
            "require_gpu": False,
        }
        | changes
    )


def page(number: int, text: str = "Hello.", digest: str = DIGEST, **changes: Any) -> PageResult:
    facts: dict[str, Any] = {
        "page": number,
        "identity": planned().identity(number, digest),
        "status": PageStatus.READ,
        "text": text,
        "model": "qwen2.5vl:7b",
        "digest": digest,
        "finished_at": datetime(2026, 11, 1, tzinfo=UTC),
    }
    return PageResult(**facts | changes)


def failed(number: int) -> PageResult:
    return page(number, "", status=PageStatus.FAILED, reason=FailureReason.TRUNCATED, detail="The answer was cut off.")


def blank(number: int) -> PageResult:
    return page(number, "", status=PageStatus.BLANK)


def manifest(store: ResultStore, *results: PageResult) -> Manifest:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return Manifest(
        status=RunStatus.COMPLETE,
        document=DOCUMENT,
        model="qwen2.5vl:7b",
        digest=DIGEST,
        options=OPTIONS,
        endpoint=None,
        pages=Listing.of(map(PageEntry.of, results), store.manifest_path),
        read_now=len(results),
        started_at=now,
        finished_at=now,
        output=Path("/results"),
    )


def files(store: ResultStore) -> set[str]:
    """Every file under the store, the lock aside."""
    found = (path for path in store.directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(store.directory)) for path in found}


def breaking(error: Exception, *numbers: int) -> Iterator[int]:
    """Page numbers, and then an error in the middle of the write that asks for them."""
    yield from numbers
    raise error


def flagged(number: int) -> PageResult:
    return page(number, flags=(Flag(name=FlagName.DAMAGED, detail="half of it is missing"),))
