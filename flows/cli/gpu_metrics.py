"""This machine's GPUs for Prometheus, read when it asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from infra_scripts.machine.gpu import gpus
from tasks.metrics.names import GPU_CELSIUS, GPU_MEMORY, GPU_USE

_TOLD = {"use": GPU_USE, "memory": GPU_MEMORY, "celsius": GPU_CELSIUS}


class Gpus(Collector):
    """See `Collector`; none where there is no nvidia-smi."""

    def collect(self) -> Iterator[Family]:
        """Each GPU by its number."""
        found = gpus()
        for key, metric in _TOLD.items():
            family = GaugeMetricFamily(metric.prometheus, metric.about, labels=["gpu"])
            for number, gpu in enumerate(found):
                if key in gpu:
                    family.add_metric([str(number)], gpu[key])
            yield family
