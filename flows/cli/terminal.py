"""A run as a person in a terminal sees it: what happens now, a bar that moves, and a summary at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as ProgressBars,
)

from flows.cli.console import Terminal
from tasks.core.events import Event, PageRetried, PagesStarted, PageStarted, Progress, Pulling, RunStarted, RunWarning
from tasks.reading.events import PageDone
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageStatus
from tasks.results.report import Report
from tasks.results.store import ResultStore
from tasks.storage.files import StoragePath
from tasks.views.summary import flagged

_MEGABYTE = 1_000_000


MOST_FLAGGED = 20
"""So many flagged pages are told of one by one."""


class TerminalProgress:
    """A listener that draws on stderr; where that is no terminal, it tells cautions and the run's address alone."""

    def __init__(self, console: Terminal, *, quiet: bool = False) -> None:
        self._console = console
        self._progress = ProgressBars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._stage: TaskID = self._progress.add_task("starting", total=None, told="")
        self._pages: TaskID | None = None
        self._in_flight: set[int] = set()
        self._failed = 0
        self._first = 0

    def __enter__(self) -> Self:
        """Start to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away; what it said is in the summary."""
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted(url=url):
                self._console.say(f"Watch it at {url}")
            case Progress(message=what):
                self._progress.update(self._stage, description=what, completed=0, total=None, told="")
            case RunWarning(message=what):
                self._console.note(what)
            case Pulling(step=step, completed=completed, total=total):
                megabytes = f"{completed / _MEGABYTE:.0f} of {total / _MEGABYTE:.0f} MB" if total else ""
                self._progress.update(
                    self._stage, description=step, completed=completed, total=total or None, told=megabytes
                )
            case PagesStarted(total=total, standing=standing):
                self._progress.update(self._stage, visible=False)
                if self._pages is None:
                    self._pages = self._progress.add_task("pages", total=total, completed=standing, told="")
                else:  # another document of a batch
                    self._progress.update(self._pages, total=total, advance=standing - self._first)
                self._first = standing
            case PageStarted(number=number):
                self._in_flight.add(number)
                self._draw(0)
            case PageRetried(number=number):
                self._in_flight.discard(number)
                self._draw(0)
            case PageDone(result=result):
                self._in_flight.discard(result.page)
                self._failed += result.status is PageStatus.FAILED
                self._draw(1)

    def _draw(self, advance: int) -> None:
        if self._pages is None:
            return
        task = self._progress.tasks[-1]
        read = task.completed + advance - self._first
        rate = f", {read / task.elapsed * 60:.0f} pages/min" if task.elapsed and read else ""
        failed = f", {self._failed} failed" if self._failed else ""
        told = f"{len(self._in_flight)} in flight{failed}{rate}"
        self._progress.update(self._pages, advance=advance, told=told)


def print_report(console: Terminal, report: Report, path: StoragePath) -> None:
    """Tell how a batch ended: sums, the documents with which something went wrong, and where the report is."""
    for name, told in report.totals().items():
        console.say(f"{name:<22}{told}")
    console.say(f"{'report':<22}{path}")
    if report.insight:
        console.say(f"{'insight':<22}{report.insight}")
    for row in report.rows:
        if row.why:
            line = f"{row.document}: {row.status}: {row.why}"
            console.say(line, "red")


def print_summary(console: Terminal, manifest: Manifest, store: ResultStore) -> None:
    """Tell how a run ended: figures, failed pages with their reasons, and where the text is."""
    figures = manifest.totals()
    lines = {
        "pages": f"{figures['pages']}: {figures['read']} read, {figures['blank']} blank, {figures['failed']} failed"
        + flagged(manifest.pages.flagged),
        "tokens": f"{figures['tokens_in']} in, {figures['tokens_out']} out",
        "model": manifest.model,
    }
    if manifest.endpoint and manifest.read_now:
        slots = f"{figures['slots']} slot{'s' if figures['slots'] != 1 else ''}"
        rate = f"{figures['pages_per_minute']:.0f} pages/min"
        lines["read by"] = f"{manifest.endpoint.backend} at {manifest.endpoint.url}: {manifest.endpoint.why}"
        lines["time"] = (
            f"{manifest.read_seconds:.1f} s for {manifest.read_now} pages over {slots} ({rate}), "
            f"after {manifest.warm_seconds:.1f} s to get warm"
        )
    if manifest.machines:
        lines["cost"] = f"USD {manifest.cost_usd:.4f}; with what idles after it: hearth cost"
    if manifest.insight is not None:
        lines["insight"] = manifest.insight.told
    stopped = manifest.status is RunStatus.STOPPED
    lines["text"] = "not written yet: pages are left for the next run" if stopped else str(store.document_path)
    for name, told in lines.items():
        console.say(f"{name:<8}{told}")
    for entry in manifest.failed:
        console.say(f"page {entry.page} failed: {entry.why}", "red")
    flags = [f"{flag}" for flag in manifest.flags]
    found = manifest.flagged(MOST_FLAGGED)
    flags += [f"page {entry.page} flagged: {'; '.join(map(str, entry.flags))}" for entry in found]
    if (more := manifest.pages.flagged - len(found)) > 0:
        flags.append(f"{more} more pages are flagged; manifest.json lists all")
    for told in flags:
        console.say(told, "yellow")
