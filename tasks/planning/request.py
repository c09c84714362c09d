"""What is asked of a plan, and the plan made: documents are opened, history and the price book are read."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from tasks.core.durations import parse_duration
from tasks.core.errors import InputError
from tasks.core.forms import Form, duration_field
from tasks.costs.assumptions import CLASSIC, Assumptions
from tasks.costs.price_book import STALE_DAYS, current_book
from tasks.documents.pdf import open_document
from tasks.planning.estimate import Shape
from tasks.planning.history import page_times
from tasks.planning.measured import apply_measurements, load_measurements
from tasks.planning.verdict import CostPlan, cost_plan
from tasks.settings.reading import LimitSettings
from tasks.settings.settings import Settings

DEFAULT_MODEL = "qwen2.5vl:7b"


class PlanRequest(Form):
    """What to plan."""

    usual = ("sources", "pages", "model", "deadline", "budget_usd")
    internal = ("deadline_seconds",)

    pages: int | None = Field(
        None, ge=1, title="Pages", description="How many pages, instead of documents.", examples=[5000]
    )
    sources: tuple[str, ...] = Field(
        (),
        title="Documents",
        description="PDFs and folders on the worker's machine whose pages are counted.",
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
        description="Finish within this many seconds: what deadline says, too.",
        examples=[3600],
    )
    deadline: str | None = duration_field("Deadline", "Finish within this time.")
    budget_usd: float | None = Field(
        None, gt=0, title="Budget, USD", description="Most US dollars it may cost; no limit if empty.", examples=[5]
    )
    classic: bool = Field(default=False, title="Classic", description="Leave out boot, minimum billing and idling.")
    assume: dict[str, str] = Field(
        {}, title="Assumptions", description='Assumed values by name, such as {"page_seconds": "5-10"}.'
    )
    stale_days: int = Field(
        STALE_DAYS, ge=0, title="Stale, days", description="Warn of prices older than so many days."
    )

    @property
    def seconds(self) -> float | None:
        """Seconds in which all is to be read; None if there is no deadline."""
        named = None if self.deadline is None else parse_duration(self.deadline)
        return min((each for each in (self.deadline_seconds, named) if each is not None), default=None)


def make_plan(asked: PlanRequest, settings: Settings) -> CostPlan:
    """Make a plan. Nothing is started, and AWS is not asked.

    Raises:
        InputError: neither pages nor documents are named, or both; a document cannot be used, or the machine has no
            price.
    """
    if (asked.pages is None) == (not asked.sources):
        raise InputError("Name either documents or --pages, such as --pages 50.")
    pages = asked.pages or sum(_pages(Path(each), settings.limits) for each in asked.sources)
    model = asked.model or settings.model or DEFAULT_MODEL
    told: tuple[str, ...] = ()
    assumed = Assumptions(num_ctx=settings.read.num_ctx)
    machine = asked.assume.get("instance_type", assumed.instance_type)
    if not asked.classic:
        assumed, told = apply_measurements(assumed, load_measurements(settings.home, machine, model))
    given = assumed.with_values({**(CLASSIC if asked.classic else {}), **asked.assume})
    times = page_times(settings.output, model, given)
    if told and not times.measured:
        times = type(times)(given, source=f"of one page, measured by `hearth infra smoke` on {machine}")
    if "page_seconds" in asked.assume or asked.classic:
        times = type(times)(given, source="assumed, as asked")
    today = datetime.now(UTC).date()
    book = current_book(settings.home)
    plan = cost_plan(pages, given, times, book, today, asked.seconds, asked.budget_usd, stale_days=asked.stale_days)
    plan = plan.model_copy(update={"notes": (*plan.notes, *told)})
    if all(row.shape is Shape.FARGATE for row in plan.rows):
        raise missing_price_error(given)
    return plan


def missing_price_error(given: Assumptions) -> InputError:
    """That nothing can be said of a machine."""
    kind, region = given.instance_type, given.region
    return InputError(
        f"The price book has no price of {kind} in {region}. Check both names; or assume usd_per_hour, or ask AWS: "
        f"hearth prices refresh --region {region} --type {kind}."
    )


def _pages(path: Path, limits: LimitSettings) -> int:
    if not path.is_dir():
        return open_document(path, limits).pages
    found = sorted(each for each in path.rglob("*") if each.suffix.lower() == ".pdf" and each.is_file())
    if not found:
        raise InputError(f"{path} holds no PDF. Name another folder, or --pages.")
    # Each is opened in a process of its own.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(document.pages for document in pool.map(lambda path: open_document(path, limits), found))
