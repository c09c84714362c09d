"""Nights of a batch over one inbox, without the reading: what each leaves on disk, mostly by Hearth's own code.

SIMULATED are the clock (files are dated back by `utime`), the pages, and what a document's results hold. The inbox, the
index, the reports, parts of shared batches, ledgers and journals are those of a real batch.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tasks.batches.batch import Batch, Source, find_documents
from tasks.batches.document_index import DocumentIndex
from tasks.batches.shards import Shard
from tasks.core.jobs import BackendName, Document, ReadOptions
from tasks.results.listing import PAGES_BEGIN, PAGES_END, Listing
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.report import Report
from tasks.results.rows import DocumentStatus, Row
from tasks.retention.clean import expired_files
from tasks.retention.expired import DAY_SECONDS, Tally, sweep
from tasks.runs.usage_log import MACHINES, Held, Taken
from tasks.settings.settings import Settings
from tasks.slots.ledger import Measured, knowing
from tasks.slots.store import FileStore
from tasks.storage.files import files_at

FIRST_NIGHT = datetime(2026, 1, 1, 1, 30, tzinfo=UTC).timestamp()
OPTIONS = ReadOptions(prompt="Transcribe.", longest_side=1288, num_ctx=8192, num_predict=4096)


@dataclass
class Night:
    """What one night did, and how long its parts took, seconds."""

    read: int = 0
    unchanged: int = 0
    cleaned: list[Tally] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, what: str, since: float) -> None:
        self.seconds[what] = time.perf_counter() - since


class Nights:
    """One home, one inbox, one directory of results.

    Args:
        directory: of all three.
        settings: of retention.
        documents: that are new each night; a tenth as many are there from the first night and change every night.
    """

    def __init__(self, directory: Path, settings: Settings, documents: int) -> None:
        self.settings = settings
        self.inbox, self.output, self.home = directory / "inbox", directory / "results", directory / "home"
        self.documents = documents
        for folder in (self.inbox, self.output, self.home / "copies"):
            folder.mkdir(parents=True)

    def night(self, number: int, *, whole: bool = True) -> Night:
        """Let one night go by, the first being 0; if not whole, only what is new is looked at, and in the report."""
        now = FIRST_NIGHT + number * DAY_SECONDS
        night = Night()
        new_ones = self._deliver(number, now)
        since = time.perf_counter()
        batch = Batch(sources=(str(self.inbox),) if whole else tuple(map(str, new_ones)))
        shelf = self._shelf = DocumentIndex(self.output, batch, self.settings) if whole else self._shelf
        night.timed("index", since)
        since, rows, new = time.perf_counter(), [], []
        for source in find_documents(batch.sources):
            row = shelf.unchanged(source)
            new.append(source) if row is None else rows.append(row)
        night.timed("look", since)
        night.read, night.unchanged = len(new), len(rows)
        since = time.perf_counter()
        read = [self._read(source, shelf, now) for source in new]
        night.timed("read", since)
        since = time.perf_counter()
        self._report(number, now, [*rows, *read])
        night.timed("report", since)
        self._leave(number, now)
        since = time.perf_counter()
        night.cleaned = sweep(expired_files(self.settings, self.output, now), dry_run=False)
        night.timed("clean", since)
        return night

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Files and bytes of each area but the results themselves."""
        areas = {
            "reports": self.output / "batches",
            "documents.jsonl": self.output / "documents.jsonl",
            "machines.jsonl": self.output / MACHINES,
            "ledgers": self.home / "slots",
            "copies": self.home / "copies",
        }
        found = {name: [p for p in (area, *area.glob("*")) if p.is_file()] for name, area in areas.items()}
        return {name: (len(paths), sum(path.stat().st_size for path in paths)) for name, paths in found.items()}

    def _deliver(self, number: int, now: float) -> tuple[Path, Path]:
        """Lay new and changed documents into the inbox, and return where."""
        folder = self.inbox / f"{datetime.fromtimestamp(now, UTC):%Y%m%d}"
        daily = self.inbox / "daily"
        for place in (folder, daily):
            place.mkdir(exist_ok=True)
        for each in range(self.documents):
            _dated(folder / f"document-{each:03d}.pdf", f"%PDF {number} {each}", now)
        for each in range(self.documents // 10):
            _dated(daily / f"daily-{each:03d}.pdf", f"%PDF of night {number}", now)
        return folder, daily

    def _read(self, source: Source, shelf: DocumentIndex, now: float) -> Row:
        assert isinstance(source.path, Path)
        results = self.output / f"{source.path.stem}-{source.version[:12]}"
        results.mkdir()
        at = datetime.fromtimestamp(now, UTC)
        document = Document(path=source.path, sha256=source.version.ljust(64, "0"), pages=4, size=source.size)
        manifest = Manifest(
            status=RunStatus.COMPLETE,
            **{"document": document, "model": "tesseract:eng", "digest": "d" * 64, "options": OPTIONS},
            **{"endpoint": None, "pages": Listing(results / "manifest.json"), "read_now": 4},
            **{"started_at": at, "finished_at": at, "output": results},
        )
        facts = manifest.model_dump_json(indent=1).removesuffix("\n}")
        _dated(results / "manifest.json", f"{facts},\n{PAGES_BEGIN}{PAGES_END}}}\n", now)
        _dated(results / "document.md", "<!-- page 1 -->\n\nText.\n", now)
        row = Row(document=source.name, status=DocumentStatus.READ, pages=4, read_now=4, output=str(results))
        shelf.note(source, row)
        return row

    def _report(self, number: int, now: float, rows: list[Row]) -> None:
        at = datetime.fromtimestamp(now, UTC)
        report = Report(started_at=at, minutes=90, usd=1.0, rows=tuple(sorted(rows, key=lambda row: row.document)))
        page = report.write(self.output)
        assert isinstance(page, Path)
        part = Shard(name=f"{at:%Y%m%dT%H%M%S}-{number}-1", documents=("a.pdf",))
        part.write(self.output)
        part.write_report(report.model_copy(update={"rows": ()}), self.output)
        for path in (page, page.with_suffix(".csv"), *page.parent.glob(f"{part.name}*")):
            os.utime(path, (now, now))

    def _leave(self, number: int, now: float) -> None:
        """What a night's runs leave that read on a service, and on a server of this machine with a port of its own."""
        taken = {"backend": BackendName.ECS, "machine": "hearth-ecs", "kind": "ECS tasks", "holder": f"night {number}"}
        held = Held.model_validate({**taken, "started": now, "ended": now + 5400, "usd": 1.0})
        lines = Taken.model_validate(taken | {"started": now}).model_dump_json() + "\n" + held.model_dump_json() + "\n"
        files_at(self.output).append(MACHINES, lines)
        store = FileStore.of(self.home, f"http://127.0.0.1:{20_000 + number}")
        measured = Measured(what="tesseract:eng", slots=2, asked=2, at=now)
        asyncio.run(store.change(lambda ledger: knowing(ledger, measured)))
        for path in (store.path, store.lock_path):
            os.utime(path, (now, now))
        if number % 10 == 0:  # a run that was killed
            _dated(self.home / "copies" / f"{number}.pdf", "%PDF", now - 3600)


def _dated(path: Path, text: str, at: float) -> None:
    path.write_text(text)
    os.utime(path, (at, at))
