"""Show a run in the terminal: the current step, a progress bar, and a summary at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from flows.cli.console import err
from tasks.core.events import (
    Event,
    PageRetried,
    PagesStarted,
    PageStarted,
    Progress,
    Pulling,
    RunStarted,
    RunWarning,
    subscribe,
)
from tasks.reading.events import PageDone
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageStatus
from tasks.results.report import Report
from tasks.results.store import ResultStore
from tasks.storage.files import StoragePath
from tasks.text.slots import slots_text
from tasks.views.summary import flagged

_MEGABYTE = 1_000_000
MOST_FLAGGED = 20
"""Flagged pages that are listed one by one."""


@contextmanager
def show_progress(*, quiet: bool = False) -> Iterator[None]:
    """Show the events of the body on standard error.

    Where that is not a terminal, only warnings and the run's address are printed.
    """
    bars = ProgressBars(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )
    with bars, subscribe(_EventDisplay(bars)):
        yield


class _EventDisplay:
    """A listener that draws events as two bars: one for the current step, one for the pages."""

    def __init__(self, bars: ProgressBars) -> None:
        self._bars = bars
        self._step: TaskID = bars.add_task("starting", total=None, detail="")
        self._pages: TaskID | None = None
        self._in_flight: set[int] = set()
        self._failed = 0
        self._stored_before = 0

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted(url=url):
                err.say(f"Watch it at {url}")
            case Progress(message=message):
                self._bars.update(self._step, description=message, completed=0, total=None, detail="")
            case RunWarning(message=message):
                err.note(message)
            case Pulling(step=step, completed=completed, total=total):
                megabytes = f"{completed / _MEGABYTE:.0f} of {total / _MEGABYTE:.0f} MB" if total else ""
                self._bars.update(
                    self._step, description=step, completed=completed, total=total or None, detail=megabytes
                )
            case PagesStarted(total=total, standing=stored):
                self._bars.update(self._step, visible=False)
                if self._pages is None:
                    self._pages = self._bars.add_task("pages", total=total, completed=stored, detail="")
                else:  # another document of a batch
                    self._bars.update(self._pages, total=total, advance=stored - self._stored_before)
                self._stored_before = stored
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
        task = self._bars.tasks[-1]
        read = task.completed + advance - self._stored_before
        rate = f", {read / task.elapsed * 60:.0f} pages/min" if task.elapsed and read else ""
        failed = f", {self._failed} failed" if self._failed else ""
        self._bars.update(self._pages, advance=advance, detail=f"{len(self._in_flight)} in flight{failed}{rate}")


def print_report(report: Report, path: StoragePath) -> None:
    """Print the outcome of a batch: totals, documents with problems, and the report's path."""
    insight = {"insight": report.insight} if report.insight else {}
    for name, value in {**report.totals(), "report": path, **insight}.items():
        err.say(f"{name:<22}{value}")
    for row in report.rows:
        if row.why:
            err.say(f"{row.document}: {row.status}: {row.why}", "red")


def print_summary(manifest: Manifest, store: ResultStore) -> None:
    """Print the outcome of a run: figures, failed and flagged pages with reasons, and the text's path."""
    figures = manifest.totals()
    lines = {
        "pages": f"{figures['pages']}: {figures['read']} read, {figures['blank']} blank, {figures['failed']} failed"
        + flagged(manifest.pages.flagged),
        "tokens": f"{figures['tokens_in']} in, {figures['tokens_out']} out",
        "model": manifest.model,
    }
    if manifest.endpoint and manifest.read_now:
        slots = slots_text(manifest.endpoint.slots, manifest.endpoint.slots_seen)
        rate = f"{figures['pages_per_minute']:.0f} pages/min"
        lines["read by"] = f"{manifest.endpoint.backend} at {manifest.endpoint.url}: {manifest.endpoint.why}"
        lines["time"] = (
            f"{manifest.read_seconds:.1f} s for {manifest.read_now} pages over {slots} ({rate}), "
            f"after {manifest.warm_seconds:.1f} s of warm-up"
        )
        if manifest.first_token:
            lines["time"] += f"; first token: {manifest.first_token}"
    if manifest.pages.corrections:
        lines["upright"] = manifest.pages.corrections
    if manifest.machines:
        lines["cost"] = f"USD {manifest.cost_usd:.4f}; hearth cost adds the idle time after it"
    if manifest.insight is not None:
        lines["insight"] = manifest.insight.told
    stopped = manifest.status is RunStatus.STOPPED
    lines["text"] = "not written yet: some pages are left for the next run" if stopped else str(store.document_path)
    if manifest.has_data:
        lines["data"] = str(store.data_path)
    for name, value in lines.items():
        err.say(f"{name:<8}{value}")
    for entry in manifest.failed:
        err.say(f"page {entry.page} failed: {entry.why}", "red")
    for entry in manifest.pages.doubtful:
        err.say(f"page {entry.page} is doubtful: its confidence is {entry.confidence:.2f}", "yellow")
    listed = manifest.flagged(MOST_FLAGGED)
    flags = [str(flag) for flag in manifest.flags]
    flags += [f"page {entry.page} flagged: {'; '.join(map(str, entry.flags))}" for entry in listed]
    if (more := manifest.pages.flagged - len(listed)) > 0:
        flags.append(f"{more} more pages are flagged; manifest.json lists all of them")
    for flag in flags:
        err.say(flag, "yellow")
