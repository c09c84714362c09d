"""All metrics: their names, units, labels and descriptions.

docs/reference/metrics.md, the alarms, the dashboards and what machines send are checked against this module.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from tasks.core.errors import FailureReason
from tasks.core.events import WarmStep
from tasks.results.page import PageStatus

NAMESPACE = "Hearth"
"""CloudWatch's namespace of all metrics; the policies allow no other."""


class Kind(StrEnum):
    """How a metric's values are combined."""

    COUNTER = "counter"
    """They are added up."""
    GAUGE = "gauge"
    """The current value counts; it is sampled every second."""
    HISTOGRAM = "histogram"
    """Each value is kept, for percentiles."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: its name in CloudWatch.
        unit: CloudWatch's unit.
        about: its description.
        label: its label beside pool and model, if it has one.
        buckets: upper bounds for Prometheus, if it is a histogram.
        words: possible values of the label.
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
        """Its name in Prometheus."""
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", self.name).lower()
        return f"hearth_{snake}" + ("_total" if self.kind is Kind.COUNTER else "")


_PAGE = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_WARM = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)

COUNTER, GAUGE, HISTOGRAM = Kind

PAGES = Metric("Pages", COUNTER, "Count", "Pages stored: read, blank or failed.", "status", words=tuple(PageStatus))
PAGE_SECONDS = Metric(
    "PageSeconds", HISTOGRAM, "Seconds", "Latency of a page with all attempts, without waiting for a slot.", "", _PAGE
)
QUEUE_SECONDS = Metric(
    "QueueSeconds", HISTOGRAM, "Seconds", "Part of PageSeconds in the server's queue (Ollama's durations).", "", _PAGE
)
FIRST_TOKEN_SECONDS = Metric(
    *("FirstTokenSeconds", HISTOGRAM, "Seconds"),
    *("From a page's last request to its first token: the server's queue, the image and the prompt.", "", _PAGE),
)
RETRIES = Metric("Retries", COUNTER, "Count", "Attempts that were repeated.", "reason", words=tuple(FailureReason))
FAILURES = Metric("Failures", COUNTER, "Count", "Pages that failed for good.", "reason", words=tuple(FailureReason))
TOKENS_IN = Metric("TokensIn", COUNTER, "Count", "Tokens of images and prompts.")
TOKENS_OUT = Metric("TokensOut", COUNTER, "Count", "Tokens that models wrote.")
IN_FLIGHT = Metric("PagesInFlight", GAUGE, "Count", "Pages of one run in slots.")
SLOTS = Metric("Slots", GAUGE, "Count", "Slots that one run has or could have, which no other run holds.")
UNPROVEN = Metric(
    "SlotsUnproven", GAUGE, "Count", "Those of Slots that were asked for, and that no pages have shown at work yet."
)
SLOT_USE = Metric(
    "SlotUsePercent", GAUGE, "Percent", "PagesInFlight of Slots while pages are left to start: idle slots cost."
)
WARM_SECONDS = Metric(
    *("WarmSeconds", HISTOGRAM, "Seconds", "Time of a step of warm-up: acquire, answer, pull, load."),
    *("step", _WARM, tuple(WarmStep)),
)
DOLLARS = Metric("Dollars", COUNTER, "None", "USD for machines of runs; runs that share a machine count equal parts.")

OF_RUNS = (
    *(PAGES, PAGE_SECONDS, QUEUE_SECONDS, FIRST_TOKEN_SECONDS, RETRIES, FAILURES, TOKENS_IN, TOKENS_OUT),
    *(IN_FLIGHT, SLOTS, UNPROVEN, SLOT_USE, WARM_SECONDS, DOLLARS),
)
"""The metrics of runs."""

GPU_USE = Metric("GpuUsePercent", GAUGE, "Percent", "Time in which a GPU was busy (nvidia-smi).")
GPU_MEMORY = Metric("GpuMemoryPercent", GAUGE, "Percent", "Used memory of a GPU.")
GPU_CELSIUS = Metric("GpuCelsius", GAUGE, "None", "Temperature of a GPU, degrees Celsius.")

OF_MACHINES = (
    *(GPU_USE, GPU_MEMORY, GPU_CELSIUS),
    Metric("MachinesUp", GAUGE, "Count", "1 a minute from each machine: their sum is how many are up."),
    Metric("MachinesLeased", GAUGE, "Count", "1 from each machine with a lease, or task that was used, else 0."),
    Metric("Connections", GAUGE, "Count", "Requests in flight on a machine: open connections to Ollama."),
    Metric("BootSeconds", HISTOGRAM, "Seconds", "From the watchdog's start to Ollama's first response."),
    Metric("SpotInterruptions", COUNTER, "Count", "Notices that AWS takes a spot machine back."),
)
"""The metrics of machines, by pool alone (infra_scripts/machine/metrics.py)."""

BY_NAME = {metric.name: metric for metric in OF_RUNS}
