"""Job + settings -> Plan: every blank filled in, everything checked, nothing started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tasks.core.errors import InputError
from tasks.core.flags import Flag
from tasks.core.jobs import Document, Job, Plan, ReadOptions
from tasks.core.paths import parse_path
from tasks.documents.pdf import inspect_document, password_from, select_pages
from tasks.ollama.client import GenerateRequest
from tasks.ollama.names import canonical_name
from tasks.results.page import PageResult
from tasks.results.store import ResultStore, results_directory
from tasks.runs.choose_backend import Choice, choose_backend
from tasks.settings.settings import Settings
from tasks.storage.downloads import LocalCopy, local_copy


@dataclass(frozen=True)
class Prepared:
    """A run that may start.

    Attributes:
        choice: the backend, and why.
        store: where the results go; not yet made.
        digest: the model's, where it is known before a server is acquired.
        file: the document on this machine; to be closed when it has been read.
        password: the document's, if it has one.
        flags: what is to be known of the document as a whole.
    """

    plan: Plan
    choice: Choice
    store: ResultStore
    digest: str | None
    file: LocalCopy
    password: str | None = field(default=None, repr=False)
    flags: tuple[Flag, ...] = ()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have the document for oneself, with the pages that were read of the same bytes under another name.

        Raises:
            StorageError: these cannot be stored.
        """
        async with self.store.turn():
            await asyncio.to_thread(self.store.take_over, self.plan.numbers, self._wanted)
            yield

    def _wanted(self, page: PageResult) -> bool:
        if not page.stored_since(self.plan.since):
            return False
        if self.digest is None:
            return canonical_name(page.model) == canonical_name(self.plan.model)
        return page.identity == self.plan.identity(page.page, self.digest)

    def nothing_left(self) -> bool:
        """Whether every page stands now, so that no server is needed. True only for good in the document's `turn`."""
        return self.digest is not None and not self.store.missing(self.plan, self.digest)

    def request(self, idle_seconds: float) -> GenerateRequest:
        """The options of every request of the run, the warm-up's included."""
        options = self.plan.options
        return GenerateRequest(self.plan.model, options.num_ctx, options.num_predict, idle_seconds)


async def prepare(
    job: Job, settings: Settings, password: str | None = None, *, began: datetime | None = None
) -> Prepared:
    """Decide what a run will do.

    Args:
        job: what is asked for; blocks that it names are the caller's affair.
        settings: what is asked where the job leaves it open.
        password: the document's, where it does not come from a variable.
        began: when the run did, which may have been interrupted since; now if None.

    Raises:
        InputError: the request is wrong; nothing was started or written.
    """
    place = parse_path(job.document)
    file = await asyncio.to_thread(local_copy, place, settings.home / "copies", settings.limits.file_mb)
    try:
        password = password or password_from(job.password_env)
        inspected = await inspect_document(file.path, settings.limits, password, place=place)
        prepared = await _prepared(job, settings, inspected.document, file, began or datetime.now(UTC))
        return replace(prepared, password=password, flags=inspected.flags)
    except BaseException:
        file.close()  # an error's traceback would keep it
        raise


async def _prepared(job: Job, settings: Settings, document: Document, file: LocalCopy, began: datetime) -> Prepared:
    numbers = select_pages(job.pages, document.pages)
    # A backend that serves several models has to know which one is meant.
    named = settings.model_copy(update={"model": job.model or settings.model})
    choice = choose_backend(job.backend or settings.backend, named)
    read = settings.read
    options = ReadOptions(
        prompt=job.prompt or read.prompt,
        longest_side=job.longest_side or read.longest_side,
        num_ctx=job.num_ctx or read.num_ctx,
        num_predict=job.num_predict or read.num_predict,
    )
    if options.num_predict >= options.num_ctx:
        raise InputError(
            f"num_predict ({options.num_predict}) leaves no room for the page in num_ctx ({options.num_ctx}). "
            "Lower the one or raise the other."
        )
    plan = Plan(
        document=document,
        numbers=numbers,
        backend=choice.backend.name,
        model=named.model or choice.backend.default_model,
        options=options,
        output=results_directory(parse_path(job.output) if job.output else settings.output, document),
        slots=job.slots or settings.slots or choice.backend.default_slots,
        attempts=job.attempts or read.attempts,
        force=job.force,
        began=began,
        require_gpu=job.require_gpu,
        strict=job.strict,
        fallback=job.fallback,
        max_usd=job.max_usd,
        minutes=job.minutes,
    )
    store = ResultStore(plan.output, shared=True)
    digest = await choice.backend.digest(plan.model) or await asyncio.to_thread(_digest_of_last_run, store, plan)
    return Prepared(plan, choice, store, digest, file)


def _digest_of_last_run(store: ResultStore, plan: Plan) -> str | None:
    """What the model's digest was when this document was read last: good enough to find that nothing is left."""
    last = store.earlier_manifest()
    return last.digest if last is not None and canonical_name(last.model) == canonical_name(plan.model) else None
