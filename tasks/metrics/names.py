"""Every metric by its names: what it counts, in which unit, and how it is told apart.

docs/reference/metrics.md, the alarms, the dashboards and what machines send are checked against this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from tasks.core.errors import FailureReason
from tasks.core.events import WarmStep
from tasks.results.page import PageStatus

NAMESPACE = "Hearth"
"""Of all of them in CloudWatch; the policies allow no other."""


class Kind(StrEnum):
    """What becomes of a metric's values."""

    COUNTER = "counter"
    """They are added up."""
    GAUGE = "gauge"
    """The one of the moment counts; it is looked at each second."""
    HISTOGRAM = "histogram"
    """Each is kept, for percentiles."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: in CloudWatch.
        unit: CloudWatch's word for it.
        about: what it is, for people.
        label: what tells its values apart beside pool and model; empty if nothing does.
        buckets: upper bounds for Prometheus, where it is a histogram.
        words: that the label may be.
    """

    name: str
    kind: Kind
    unit: str
    about: str
    label: str = ""
    buckets: tuple[float, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def prometheus(self) -> str:
        """Its name there."""
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", self.name).lower()
        return f"hearth_{snake}" + ("_total" if self.kind is Kind.COUNTER else "")


_PAGE = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_REASONS = tuple(FailureReason)
_WARM = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)

PAGES = Metric(
    "Pages", Kind.COUNTER, "Count", "Pages that were stored: read, blank or failed.", "status", words=tuple(PageStatus)
)
PAGE_SECONDS = Metric(
    "PageSeconds",
    Kind.HISTOGRAM,
    "Seconds",
    "A page's latency, all its attempts, its wait for a slot left out.",
    "",
    _PAGE,
)
QUEUE_SECONDS = Metric(
    "QueueSeconds",
    Kind.HISTOGRAM,
    "Seconds",
    "Of it, spent waiting inside the server (Ollama's own durations).",
    "",
    _PAGE,
)
RETRIES = Metric(
    "Retries", Kind.COUNTER, "Count", "Requests about a page that another one had to follow.", "reason", words=_REASONS
)
FAILURES = Metric("Failures", Kind.COUNTER, "Count", "Pages that failed for good.", "reason", words=_REASONS)
TOKENS_IN = Metric("TokensIn", Kind.COUNTER, "Count", "Tokens of images and prompts.")
TOKENS_OUT = Metric("TokensOut", Kind.COUNTER, "Count", "Tokens that were written.")
IN_FLIGHT = Metric("PagesInFlight", Kind.GAUGE, "Count", "Pages in a slot, of one run.")
SLOTS = Metric("Slots", Kind.GAUGE, "Count", "Slots that one run has or could have: those that no other holds.")
SLOT_USE = Metric(
    "SlotUsePercent",
    Kind.GAUGE,
    "Percent",
    "The one of the other, while there are pages left to begin: idle slots cost.",
)
WARM_SECONDS = Metric(
    "WarmSeconds",
    Kind.HISTOGRAM,
    "Seconds",
    "Until a server was warm, by step: acquire, answer, pull, load, measure.",
    "step",
    _WARM,
    tuple(WarmStep),
)
DOLLARS = Metric(
    "Dollars", Kind.COUNTER, "None", "USD for machines while runs held them; runs that share one count equal parts."
)

OF_RUNS = (
    *(PAGES, PAGE_SECONDS, QUEUE_SECONDS, RETRIES, FAILURES, TOKENS_IN, TOKENS_OUT),
    *(IN_FLIGHT, SLOTS, SLOT_USE, WARM_SECONDS, DOLLARS),
)
"""What runs tell."""

GPU_USE = Metric("GpuUsePercent", Kind.GAUGE, "Percent", "Time in which the GPU had work, each GPU (nvidia-smi).")
GPU_MEMORY = Metric("GpuMemoryPercent", Kind.GAUGE, "Percent", "Of the GPU's memory, in use, each GPU.")
GPU_CELSIUS = Metric("GpuCelsius", Kind.GAUGE, "None", "The GPU's temperature, degrees Celsius, each GPU.")

OF_MACHINES = (
    *(GPU_USE, GPU_MEMORY, GPU_CELSIUS),
    Metric("MachinesUp", Kind.GAUGE, "Count", "1 a minute from each machine: their sum is how many are up."),
    Metric(
        "MachinesLeased",
        Kind.GAUGE,
        "Count",
        "1 from each machine that a run holds a lease on, or task that was used, else 0.",
    ),
    Metric(
        "Connections",
        Kind.GAUGE,
        "Count",
        "Requests in flight on a machine, whoever sends them: open connections to Ollama.",
    ),
    Metric("BootSeconds", Kind.HISTOGRAM, "Seconds", "From the watchdog's start to Ollama's first answer."),
    Metric("SpotInterruptions", Kind.COUNTER, "Count", "Notices that spot takes a machine back."),
)
"""What machines tell, by pool alone (infra_scripts/machine/metrics.py)."""

BY_NAME = {metric.name: metric for metric in OF_RUNS}
