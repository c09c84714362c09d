"""Record a run: its times and machines and, from the stored pages, its manifest and the document's text."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest

from tasks.backends.base import Allocation, MachineFacts
from tasks.core.events import Event
from tasks.core.flags import Flag, FlagName
from tasks.models.call import ModelCall
from tasks.reading.events import PageDone
from tasks.results.listing import Listing
from tasks.results.manifest import LayerTally, Manifest, RequestRecord, RunStatus
from tasks.results.page import PageEntry
from tasks.results.usage import CostShares, EndpointRecord, Figures, Insight, MachineRecord
from tasks.runs.advice import insight
from tasks.runs.prepare import Prepared
from tasks.runs.run_stats import RunStats
from tasks.serving.warmup import Warmth


@dataclass
class RunRecorder:
    """Records one run.

    Attributes:
        idle_seconds: how long a machine waits after its last use.
        done: the pages that this run has stored, read or failed.
        advice: a sentence to add to the insight.
        flags: flags of the document that were raised while it was read.
        call: what was sent for each page, once the server is known.
    """

    prepared: Prepared
    flow_run_id: str | None = None
    idle_seconds: float = 0.0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    done: set[int] = field(default_factory=set)
    advice: str = ""
    flags: list[Flag] = field(default_factory=list)
    call: ModelCall | None = None
    _started: float = field(default_factory=time.monotonic)
    _pages_from: float | None = None
    _pages_to: float | None = None
    _endpoint: EndpointRecord | None = None
    _digest: str | None = None
    _machines: list[MachineRecord] = field(default_factory=list)
    _stats: RunStats = field(init=False)

    def __post_init__(self) -> None:
        """Begin to measure."""
        self.done |= self.prepared.taken
        self._stats = RunStats(self.idle_seconds, self.prepared.setup.call.longest_side)

    def warmed(self, allocation: Allocation, warmth: Warmth) -> None:
        """Take note that a server is warm."""
        self._stats.warmed(allocation, warmth)
        if self._digest not in {None, warmth.digest}:
            self.done &= self.prepared.taken  # another version of the model reads all others again
        self._digest = warmth.digest
        self._endpoint = EndpointRecord(
            backend=allocation.backend,
            why=self.prepared.setup.choice.why,
            url=allocation.endpoint.url,
            slots_asked=self.prepared.plan.slots,
            slots=warmth.measured.slots * allocation.replicas.count,
            slots_seen=warmth.slots_seen,
            note=warmth.note,
            gpu_bytes=warmth.gpu_bytes or None,
        )

    def pages_start(self) -> None:
        """Take note that pages are read from now on."""
        self._pages_to = time.monotonic()
        if self._pages_from is None:
            self._pages_from = self._pages_to

    def released(self, machine: MachineFacts, ended: str) -> None:
        """Take note that a machine was given back; `ended` says why before all was read, or is empty."""
        self._stats.released(machine, ended)
        seconds = round(time.time() - machine.since, 3)
        record = MachineRecord(
            id=machine.id,
            kind=machine.kind,
            seconds=seconds,
            usd=None if machine.usd_per_hour is None else round(machine.usd_so_far(), 6),
            ended=ended or None,
            boot_seconds=round(min(machine.boot_seconds, seconds), 3),
        )
        self._machines.append(record)

    def hear(self, event: Event) -> None:
        """Take note of pages that are stored; a listener."""
        self._stats(event)
        if isinstance(event, PageDone):
            self.done.add(event.result.page)

    def pages_end(self) -> None:
        """Take note that no more pages are read, whether all were or not."""
        self._pages_to = time.monotonic()

    def close(self) -> Manifest | None:
        """Write manifest.json from the pages that stand and, if all requested pages stand, document.md.

        A run that stored nothing leaves in place what earlier runs wrote: the manifest of the run that read the pages,
        or the text of an earlier request.

        Returns:
            The manifest; None if nothing was stored and pages are missing.

        Raises:
            StorageError: they cannot be written.
        """
        plan, store = self.prepared.plan, self.prepared.store
        digest = self._digest or self.prepared.digest or ""  # empty if no model was needed, or none could be had
        doubtful_below = self.prepared.setup.read.doubtful_below
        pages = Listing.of(self._entries(digest), store.manifest_path, doubtful_below)
        status = _status(pages, len(plan.numbers))
        if not self.done:
            if status is RunStatus.STOPPED:
                return None
            last = store.manifest()
            if last is not None and self._is_written() and self._listed(last.pages, digest):
                nothing = dict.fromkeys(("read_seconds", "page_seconds", "warm_seconds", "cost_usd"), 0.0)
                update = {
                    "read_now": 0,
                    **nothing,
                    "first_token": None,
                    "machines": (),
                    "shares": None,
                    "insight": None,
                    "output": store.directory,
                }
                return last.model_copy(update=update)
        if self.done and self.prepared.file.changed(plan.document.sha256):
            detail = (
                "it was changed while it was read; the results are of what it was before. Run again to read it anew."
            )
            self.flags.append(Flag(name=FlagName.CHANGED, detail=detail))
        figures, usd = self._stats.figures(), sum(machine.usd or 0.0 for machine in self._machines)
        manifest = Manifest(
            status=status,
            document=plan.document,
            model=plan.model,
            digest=digest,
            options=plan.options,
            request=self._request(),
            endpoint=self._endpoint,
            pages=pages,
            read_now=len(self.done),
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            warm_seconds=round((self._pages_from or time.monotonic()) - self._started, 3),
            read_seconds=round((self._pages_to or 0.0) - (self._pages_from or 0.0), 3),
            page_seconds=round(figures.page_seconds, 3),
            first_token=self._stats.first_token(),
            machines=tuple(self._machines),
            cost_usd=round(usd, 6),
            shares=self._shares(usd, figures) if self._machines else None,
            insight=self._insight(figures),
            text_layer=LayerTally.of(pages),
            flags=(*self.prepared.flags, *self.flags),
            flow_run_id=self.flow_run_id,
            output=store.directory,
            doubtful_below=doubtful_below,
        )
        if status is not RunStatus.STOPPED:
            store.write_document(plan.numbers, strict=plan.strict)
            if self.prepared.setup.call.schema:
                store.write_data(plan.numbers, strict=plan.strict)
            elif store.has_data():
                store.write_data(())
        store.write_manifest(manifest, self._entries(digest))
        return manifest

    def _is_written(self) -> bool:
        """Return whether the files that are made of the pages exist."""
        store = self.prepared.store
        return store.has_document() and (not self.prepared.setup.call.schema or store.has_data())

    def _insight(self, figures: Figures) -> Insight | None:
        """Return where time and money went; a run that asked no model for any page says so."""
        taken = self.prepared.taken
        if self.done and self.done == taken:
            count = f"{len(self.done)} pages come" if len(self.done) > 1 else "1 page comes"
            told = f"{count} from the document's own text: no model was asked, and nothing was started."
            return Insight(figures=figures, saving=None, told=told)
        if not self.done:
            return None
        found = insight(figures)
        more = f"{len(taken)} pages come from the document's own text." if taken else self.advice
        return found.model_copy(update={"told": f"{found.told} {more}".strip()})

    def _request(self) -> RequestRecord:
        call = self.call or self.prepared.setup.call
        names = ("prompt", "longest_side", "num_ctx", "num_predict")
        facts = {name: getattr(call, name) for name in names}
        return RequestRecord(profile=call.profile.name, json_schema=call.schema, **facts)

    def _shares(self, usd: float, figures: Figures) -> CostShares:
        boot = sum((m.usd or 0.0) * m.boot_seconds / m.seconds for m in self._machines if m.seconds)
        return CostShares(
            direct_usd=round(usd - boot, 6),
            boot_usd=round(boot, 6),
            idle_usd_at_most=round(figures.usd(figures.idle), 6),
        )

    def _entries(self, digest: str) -> Iterator[PageEntry]:
        """Yield the pages that stand, from their files, one in memory at a time."""
        plan = self.prepared.plan
        for result in self.prepared.store.results(plan.numbers, strict=plan.strict):
            is_met = plan.is_met(result.page, result.identity, digest, result.correction)
            if is_met and result.stored_since(plan.since):
                yield PageEntry.of(result)

    def _listed(self, pages: Listing, digest: str) -> bool:
        """Return whether a manifest lists the pages that stand now."""
        return all(one == other for one, other in zip_longest(pages, self._entries(digest)))


def _status(pages: Listing, requested: int) -> RunStatus:
    if len(pages) < requested:
        return RunStatus.STOPPED
    return RunStatus.PARTIAL if pages.failed else RunStatus.COMPLETE
