"""Job and settings become a Plan: every blank is filled in and everything is checked, but nothing is started."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tasks.core.flags import Flag
from tasks.core.jobs import Document, Job, Plan
from tasks.core.page_ranges import select_pages
from tasks.core.paths import parse_path
from tasks.documents.pdf import inspect_document, password_from
from tasks.inference.names import canonical_name
from tasks.reading.layer_reader import LayerSource
from tasks.results.page import PageResult, PageSource
from tasks.results.store import ResultStore, results_directory
from tasks.runs.setup import Setup, choose_setup
from tasks.settings.reading import LimitSettings
from tasks.settings.settings import Settings
from tasks.storage.downloads import LocalCopy, local_copy


@dataclass(frozen=True)
class Known:
    """What a batch knows before it prepares a document, the same for all its documents.

    Attributes:
        digest: the model's, where it is known.
    """

    setup: Setup
    digest: str | None


@dataclass(frozen=True)
class Prepared:
    """A run that may start.

    Attributes:
        store: where the results go; not yet made.
        digest: the model's digest, where it is known before a server is acquired.
        file: the document on this machine; close it when it has been read.
        taken: the pages that this run has taken from their text layer.
    """

    plan: Plan
    setup: Setup
    store: ResultStore
    digest: str | None
    file: LocalCopy
    limits: LimitSettings = field(default_factory=LimitSettings)
    password: str | None = field(default=None, repr=False)
    flags: tuple[Flag, ...] = ()
    taken: set[int] = field(default_factory=set)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Lock the document, and take over pages that were read of the same bytes under another name.

        Raises:
            StorageError: these pages cannot be stored.
        """
        async with self.store.lock():
            await asyncio.to_thread(self.store.take_over, self.plan.numbers, self._is_usable)
            yield

    def _is_usable(self, page: PageResult) -> bool:
        if not page.stored_since(self.plan.since):
            return False
        if self.digest is None and page.source is not PageSource.TEXT_LAYER:
            return canonical_name(page.model) == canonical_name(self.plan.model)
        return self.plan.is_met(page.page, page.identity, self.digest or "", page.correction)

    @property
    def layers(self) -> LayerSource:
        """The document's text layers."""
        return LayerSource(self.file.path, self.limits, self.password)

    def nothing_left(self) -> bool:
        """Return whether every page stands, so that no server is needed. It stays true only while locked."""
        return not self.store.missing(self.plan, self.digest or "")


async def prepare(
    job: Job,
    settings: Settings,
    password: str | None = None,
    *,
    began: datetime | None = None,
    known: Known | None = None,
) -> Prepared:
    """Decide what a run will do. Blocks that the job names are resolved by the caller.

    A password of the document wins over that of a variable. `began` is when the run began, which may have been
    interrupted since; now if None. `known` is the batch's, whose documents are all read in the same way; chosen by the
    job if None.

    Raises:
        InputError: the request is wrong; nothing was started or written.
    """
    path = parse_path(job.document)
    file = await asyncio.to_thread(local_copy, path, settings.home / "copies", settings.limits.file_mb)
    try:
        password = password or password_from(job.password_env)
        inspected = await inspect_document(file.path, settings.limits, password, place=path)
        setup = known.setup if known else choose_setup(job, settings)
        plan = _plan(job, settings, setup, inspected.document, began or datetime.now(UTC))
        store = ResultStore(plan.output, shared=True)
        digest = known.digest if known else await setup.choice.backend.digest(plan.model)
        digest = digest or await asyncio.to_thread(_digest_of_last_run, store, plan)
        return Prepared(plan, setup, store, digest, file, settings.limits, password, inspected.flags)
    except BaseException:
        file.close()  # the error's traceback would keep it open
        raise


def _plan(job: Job, settings: Settings, setup: Setup, document: Document, began: datetime) -> Plan:
    return Plan(
        document=document,
        numbers=select_pages(job.pages, document.pages),
        backend=setup.choice.backend.name,
        model=setup.model,
        options=setup.options,
        output=results_directory(parse_path(job.output) if job.output else settings.output, document),
        attempts=job.attempts or settings.read.attempts,
        slots=setup.slots,
        began=began,
        force=job.force,
        require_gpu=job.require_gpu,
        strict=job.strict,
        fallback=job.fallback,
        text_layer=job.text_layer,
        max_usd=job.max_usd,
        minutes=job.minutes,
    )


def _digest_of_last_run(store: ResultStore, plan: Plan) -> str | None:
    """Return the model's digest when this document was read last: good enough to find that nothing is left."""
    last = store.earlier_manifest()
    if last is None or canonical_name(last.model) != canonical_name(plan.model):
        return None
    return last.digest or None  # empty if all its pages were taken from their text layer
