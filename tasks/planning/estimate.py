"""Architectures, and the estimate of time and cost for one of them."""

from enum import StrEnum

from tasks.core.jobs import Frozen
from tasks.costs.assumptions import Range
from tasks.costs.price_book import Price, Term


class Shape(StrEnum):
    """How pages are distributed over machines."""

    PER_PAGE_SERIAL = "per page, in turn"
    PER_PAGE_AT_ONCE = "per page, at once"
    SINGLE = "one machine"
    SEVERAL = "several machines"
    ECS = "ECS tasks"
    SAGEMAKER = "SageMaker real time"
    SAGEMAKER_ASYNC = "SageMaker async"
    LAMBDA_ECS = "Lambda + ECS task"
    FARGATE = "Fargate tasks, OCR"
    """Without GPUs, so with another model: `tesseract:eng`, one page on each vCPU. It never wins."""


class Running(StrEnum):
    """How long machines run."""

    WARM = "warm already"
    """Someone else pays for boot, load and idling, as in the classic table. It never wins."""
    AUTO_STOP = "auto-stop"
    ALWAYS_ON = "always on"


class Estimate(Frozen):
    """The time and cost of reading the pages on one architecture. Times are seconds, `usd` is for the whole run.

    Attributes:
        billed: seconds that each machine is paid for, its minimum included.
        usd_per_1000: cost per 1,000 pages.
    """

    shape: Shape
    running: Running
    term: Term
    machines: int
    boot: Range
    load: Range
    reading: Range
    total: Range
    billed: Range
    usd: Range
    usd_per_1000: Range

    @property
    def name(self) -> str:
        """The architecture for display."""
        count = f" x{self.machines}" if self.machines > 1 else ""
        return f"{self.shape}{count}, {self.running}, {self.term}"


class Estimates(Frozen):
    """All estimates, the prices that they are based on, and the items without a price."""

    rows: tuple[Estimate, ...]
    prices: tuple[Price, ...]
    unpriced: tuple[str, ...]
