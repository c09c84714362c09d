"""The metrics that a machine publishes to CloudWatch each minute: GPUs, connections, leases and boot.

On EC2 it is a separate process, so that it cannot delay the watchdog's clocks: nvidia-smi hangs when a GPU falls off
its bus. ECS tasks use it, too. Standard library of Python 3.10 only, besides aws.py and gpu.py. Every failure is
retried a minute later.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

try:
    from infra_scripts.machine import aws, gpu
except ImportError:  # on the machine, where the files are in one directory
    import aws  # type: ignore[import-not-found,no-redef]
    import gpu  # type: ignore[import-not-found,no-redef]

NAMESPACE = "Hearth"
UNITS = {
    "GpuUsePercent": "Percent",
    "GpuMemoryPercent": "Percent",
    "GpuCelsius": "None",
    "MachinesUp": "Count",
    "MachinesLeased": "Count",
    "Connections": "Count",
    "BootSeconds": "Seconds",
    "SpotInterruptions": "Count",
}
_OF_A_GPU = {"use": "GpuUsePercent", "memory": "GpuMemoryPercent", "celsius": "GpuCelsius"}


class Seen:
    """The observations of a machine since the last publication."""

    def __init__(self) -> None:
        self.pool = aws.environment("POOL")
        self.port = urlsplit(aws.environment("OLLAMA_URL", "http://127.0.0.1:11434")).port or 80
        self.values: dict[str, Counter[float]] = {}

    def note(self, name: str, value: float) -> None:
        """Record a value, rounded to three digits."""
        self.values.setdefault(name, Counter())[float(f"{value:.3g}")] += 1

    def look(self) -> None:
        """Observe the machine, once in each poll."""
        self.note("Connections", aws.connections(self.port))
        for values in gpu.gpus():
            for key, name in _OF_A_GPU.items():
                if key in values:
                    self.note(name, values[key])

    def publish(self, leased: float | None) -> None:
        """Publish the observations, once a minute; they are lost if AWS does not accept them.

        Args:
            leased: 1 if a run uses the machine, otherwise 0; None if unknown.
        """
        self.note("MachinesUp", 1)
        if leased is not None:
            self.note("MachinesLeased", leased)
        values, self.values = self.values, {}
        aws.put_metrics(NAMESPACE, metric_data(values, self.pool))


class Metrics(Seen):
    """The observations, and the published events in a file that survives a restart of the program but not a boot."""

    def __init__(self) -> None:
        super().__init__()
        self.table = aws.environment("TABLE", f"hearth-{self.pool}")
        self.poll = float(aws.environment("LOOK_SECONDS", "5"))
        self.interval = float(aws.environment("METRICS_SECONDS", "60"))
        directory = Path(aws.environment("STATE_DIRECTORY", "/run/hearth"))
        self.watch, self.file = directory / "watch.json", directory / "metrics.json"
        self.published: dict[str, Any] = _read(self.file)

    def events(self) -> bool:
        """Record the watchdog's events, boot and spot interruption; return True for one that cannot wait."""
        state = _read(self.watch)
        if state.get("answered") is True and not self.published.get("booted"):
            self.published["booted"] = True
            started = state.get("started")
            if isinstance(started, float):
                self.note("BootSeconds", max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started))
        notice = state.get("published")
        if isinstance(notice, str) and notice.endswith("spot-interruption") and notice != self.published.get("notice"):
            self.published["notice"] = notice
            self.note("SpotInterruptions", 1)
            return True
        return False

    def used(self) -> float | None:
        """Return 1 if a run holds a lease according to the pool's table, otherwise 0; None if it cannot be read."""
        try:
            return float(is_leased(aws.item(self.table, aws.instance_id()), time.time()))
        except Exception as error:  # noqa: BLE001 - the other metrics are published all the same
            _log(f"The leases cannot be read ({type(error).__name__}: {error}).")
            return None

    def remember(self) -> None:
        """Save the published events."""
        self.file.write_text(json.dumps(self.published))


def metric_data(seen: dict[str, Counter[float]], pool: str) -> list[dict[str, Any]]:
    """Return the data for PutMetricData, by pool: metrics of single machines would cost more."""
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "Pool", "Value": pool}],
            "Unit": UNITS.get(name, "None"),
            "Values": list(values),
            "Counts": list(values.values()),
        }
        for name, values in seen.items()
    ]


def is_leased(item: dict[str, Any], now: float) -> bool:
    """Whether a run holds a lease according to the machine's record in the pool's table."""
    leases = item.get("leases", {}).get("M", {})
    return any(float(lease["M"]["ends_at"]["N"]) > now for lease in leases.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")  # systemd keeps it in the journal


def main() -> None:
    """Observe and publish until the machine powers off."""
    metrics = Metrics()
    due = time.monotonic() + metrics.interval
    while True:
        try:
            metrics.look()
            if metrics.events() or time.monotonic() >= due:
                due += metrics.interval  # not from now on: the sum of MachinesUp is the number of paid minutes
                metrics.publish(metrics.used())
                metrics.remember()
        except Exception as error:  # noqa: BLE001 - retried in the next minute
            _log(f"The metrics were not published ({type(error).__name__}: {error}).")
        time.sleep(metrics.poll)


if __name__ == "__main__":
    main()
