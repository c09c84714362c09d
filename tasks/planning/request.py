"""A request for a plan, and the plan that answers it: documents are opened, history and the price book are read."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from tasks.core.document_kinds import is_document
from tasks.core.durations import parse_duration
from tasks.core.errors import InputError
from tasks.core.forms import Form, duration_field
from tasks.core.options import TextLayer
from tasks.costs.assumptions import CLASSIC, Assumptions
from tasks.costs.price_book import STALE_DAYS, current_book
from tasks.documents.pdf import open_document
from tasks.documents.shared_processes import shared_processes
from tasks.planning.estimate import Shape
from tasks.planning.history import page_times
from tasks.planning.measured import apply_measurements, load_measurements
from tasks.planning.page_times import PageTimes
from tasks.planning.verdict import CostPlan, cost_plan
from tasks.reading.layer_reader import LayerSource, count_taken
from tasks.settings.reading import LimitSettings
from tasks.settings.settings import Settings

_MOST_LAYERS = 60
"""Pages, and documents, whose text layers are judged for a plan."""

DEFAULT_MODEL = "qwen2.5vl:7b"


class PlanRequest(Form):
    """A request for a plan."""

    usual = ("sources", "pages", "model", "deadline", "budget_usd", "text_layer")
    internal = ("deadline_seconds",)

    pages: int | None = Field(
        None, ge=1, title="Pages", description="Number of pages to plan for, instead of documents.", examples=[5000]
    )
    sources: tuple[str, ...] = Field(
        (),
        title="Documents",
        description="Documents and folders whose pages are counted, on the worker's machine.",
        examples=[["/data/inbox"]],
    )
    model: str | None = Field(
        None,
        title="Model",
        description="Model whose measured page times are used. HEARTH_MODEL, or qwen2.5vl:7b, if empty.",
        examples=["qwen2.5vl:7b"],
    )
    deadline_seconds: float | None = Field(
        None,
        gt=0,
        title="Deadline, seconds",
        description="Finish within this many seconds; the same as deadline.",
        examples=[3600],
    )
    deadline: str | None = duration_field("Deadline", "Finish within this time.")
    budget_usd: float | None = Field(
        None, gt=0, title="Budget, USD", description="Highest cost in US dollars; no limit if empty.", examples=[5]
    )
    classic: bool = Field(default=False, title="Classic", description="Leave out boot, minimum billing and idling.")
    text_layer: TextLayer = Field(
        TextLayer.NEVER,
        title="Text layer",
        description="Leave out pages whose own text is taken from the PDF: auto, those whose text layer is sound; or "
        "always, all that have text. In documents they are counted; of a number of pages, sound_layers is assumed.",
    )
    assume: dict[str, str] = Field(
        {}, title="Assumptions", description='Assumed values by name, such as {"page_seconds": "5-10"}.'
    )
    stale_days: int = Field(
        STALE_DAYS, ge=0, title="Stale, days", description="Warn about prices that are older than this many days."
    )

    @property
    def seconds(self) -> float | None:
        """The deadline in seconds; None if there is none."""
        deadlines = (self.deadline_seconds, None if self.deadline is None else parse_duration(self.deadline))
        return min((seconds for seconds in deadlines if seconds is not None), default=None)


def make_plan(request: PlanRequest, settings: Settings) -> CostPlan:
    """Make a plan. Nothing is started, and AWS is not asked.

    Raises:
        InputError: the request names neither pages nor documents, or both; a document cannot be opened, or the price
            book has no price of the machine.
    """
    if (request.pages is None) == (not request.sources):
        raise InputError("Name either documents or --pages, such as --pages 50.")
    documents = _documents(request.sources, settings.limits)
    pages = request.pages or sum(count for _, count in documents)
    model = request.model or settings.model or DEFAULT_MODEL
    notes: tuple[str, ...] = ()
    assumed = Assumptions(num_ctx=settings.read.num_ctx)
    machine = request.assume.get("instance_type", assumed.instance_type)
    if not request.classic:
        assumed, notes = apply_measurements(assumed, load_measurements(settings.home, machine, model))
    given = assumed.with_values({**(CLASSIC if request.classic else {}), **request.assume})
    times = page_times(settings.output, model, given)
    if notes and not times.measured:
        times = PageTimes(given, source=f"measured with one page by `hearth infra smoke` on {machine}")
    if "page_seconds" in request.assume or request.classic:
        times = PageTimes(given, source="assumed, as requested")
    today = datetime.now(UTC).date()
    book = current_book(settings.home)
    taken, layers = _layers(request, documents, given, settings.limits)
    plan = cost_plan(pages - taken, given, times, book, today, request.seconds, request.budget_usd, request.stale_days)
    if plan.rows and all(row.shape is Shape.FARGATE for row in plan.rows):
        raise missing_price_error(given)
    return plan.model_copy(update={"notes": (*plan.notes, *notes, *layers)})


def missing_price_error(given: Assumptions) -> InputError:
    """Return the error for a machine without a price."""
    kind, region = given.instance_type, given.region
    return InputError(
        f"The price book has no price of {kind} in {region}. Check both names, or assume usd_per_hour, or ask AWS: "
        f"hearth prices refresh --region {region} --type {kind}."
    )


def _documents(sources: Sequence[str], limits: LimitSettings) -> list[tuple[Path, int]]:
    """Return the documents that sources name, or contain, and how many pages each has."""
    paths = [path for source in sources for path in _below(Path(source))]
    # Each document is opened in a separate process.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        opened = pool.map(lambda path: open_document(path, limits), paths)
        return [(path, document.pages) for path, document in zip(paths, opened, strict=True)]


def _below(path: Path) -> Sequence[Path]:
    """Return a document, or all that a folder contains."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if is_document(file.name) and file.is_file())
    if not found:
        raise InputError(f"The folder {path} contains no document. Name another folder, or use --pages.")
    return found


def _layers(
    request: PlanRequest, documents: Sequence[tuple[Path, int]], given: Assumptions, limits: LimitSettings
) -> tuple[int, tuple[str, ...]]:
    """Return how many pages are taken from their text layer, and a note that says so, or how many would be."""
    asked = request.text_layer is not TextLayer.NEVER
    if request.pages:
        taken = round(request.pages * given.sound_layers) if asked else 0
        note = (
            f"Assumed: {taken} of {request.pages} pages are taken from their text layer (--assume sound_layers=0.8 for "
            "80 %). In documents they are counted."
        )
        return taken, (note,) if asked else ()
    layer = request.text_layer if asked else TextLayer.AUTO
    sample = documents[:: max(1, -(-len(documents) // _MOST_LAYERS))]
    most = max(1, _MOST_LAYERS // max(1, len(sample)))
    with ThreadPoolExecutor(1) as thread:  # this thread may be running a loop
        sound = thread.submit(asyncio.run, _count(sample, most, layer, limits)).result()
    pages, looked = sum(count for _, count in documents), sum(count for _, count in sample)
    taken = round(sound * pages / looked) if looked else 0
    about = "About " if len(sample) < len(documents) or any(count > most for _, count in sample) else ""
    if asked:
        note = f"{about}{taken} of {pages} pages are taken from their text layer, which leaves {pages - taken}."
        return taken, (note,)
    if not taken:
        return 0, ()
    note = f"{about}{taken} of {pages} pages have a sound text layer: --text-layer auto takes them without a model."
    return 0, (note,)


async def _count(sample: Sequence[tuple[Path, int]], most: int, layer: TextLayer, limits: LimitSettings) -> int:
    async with shared_processes():
        counted = [
            await count_taken(LayerSource(path, limits), range(1, pages + 1), most, layer) for path, pages in sample
        ]
    return sum(counted)
