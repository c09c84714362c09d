"""What a machine tells CloudWatch each minute: its GPUs, the requests in flight, whether a run leases it, its boot.

On EC2 it is a process apart from the watchdog, whose clocks it cannot hold up: nvidia-smi hangs when a GPU falls off
its bus. ECS tasks carry it, too. Standard library of Python 3.10 only, beside aws.py and gpu.py. Whatever fails is
tried anew a minute later.
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
except ImportError:  # on the machine, where the files lie side by side
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
    """What was seen of a machine since the last minute."""

    def __init__(self) -> None:
        self.pool = aws.environment("POOL")
        self.port = urlsplit(aws.environment("OLLAMA_URL", "http://127.0.0.1:11434")).port or 80
        self.values: dict[str, Counter[float]] = {}

    def note(self, name: str, value: float) -> None:
        """Remember a value; a GPU's share of memory is worth three digits."""
        self.values.setdefault(name, Counter())[float(f"{value:.3g}")] += 1

    def look(self) -> None:
        """Once a poll."""
        self.note("Connections", aws.connections(self.port))
        for each in gpu.gpus():
            for key, name in _OF_A_GPU.items():
                if key in each:
                    self.note(name, each[key])

    def publish(self, leased: float | None) -> None:
        """Tell them, once a minute; what AWS does not take is lost.

        Args:
            leased: 1 if a run uses the machine, else 0; None if that cannot be told.
        """
        self.note("MachinesUp", 1)
        if leased is not None:
            self.note("MachinesLeased", leased)
        values, self.values = self.values, {}
        aws.put_metrics(NAMESPACE, metric_data(values, self.pool))


class Metrics(Seen):
    """That, and what was told already, which a restart reads and a boot forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.table = aws.environment("TABLE", f"hearth-{self.pool}")
        self.poll = float(aws.environment("LOOK_SECONDS", "5"))
        self.each = float(aws.environment("METRICS_SECONDS", "60"))
        directory = Path(aws.environment("STATE_DIRECTORY", "/run/hearth"))
        self.watch, self.file = directory / "watch.json", directory / "metrics.json"
        self.told: dict[str, Any] = _read(self.file)

    def events(self) -> bool:
        """What the watchdog has found out: the boot is over, spot takes the machine back. True if it cannot wait."""
        state = _read(self.watch)
        if state.get("answered") is True and not self.told.get("booted"):
            self.told["booted"] = True
            started = state.get("started")
            if isinstance(started, float):
                self.note("BootSeconds", max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started))
        notice = state.get("published")
        if isinstance(notice, str) and notice.endswith("spot-interruption") and notice != self.told.get("notice"):
            self.told["notice"] = notice
            self.note("SpotInterruptions", 1)
            return True
        return False

    def used(self) -> float | None:
        """Whether a run holds a lease, by the pool's table: 1 or 0; None if it cannot be read."""
        try:
            return float(is_leased(aws.item(self.table, aws.instance_id()), time.time()))
        except Exception as error:  # noqa: BLE001 - the other numbers are told all the same
            _log(f"The leases cannot be read ({type(error).__name__}: {error}).")
            return None

    def remember(self) -> None:
        """Write down what AWS has taken."""
        self.file.write_text(json.dumps(self.told))


def metric_data(seen: dict[str, Counter[float]], pool: str) -> list[dict[str, Any]]:
    """As PutMetricData wants it: by pool alone, for each machine's own would cost."""
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
    """Whether a run holds a lease, by the machine's record in the pool's table."""
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
    """Look and publish until the machine goes."""
    metrics = Metrics()
    due = time.monotonic() + metrics.each
    while True:
        try:
            metrics.look()
            if metrics.events() or time.monotonic() >= due:
                due += metrics.each  # not from now on: the sum of MachinesUp is the minutes that were paid for
                metrics.publish(metrics.used())
                metrics.remember()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next minute may be better
            _log(f"Not told ({type(error).__name__}: {error}).")
        time.sleep(metrics.poll)


if __name__ == "__main__":
    main()
