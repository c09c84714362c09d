"""What a machine's disk gives: how fast a type reads it, and how long a new machine takes to read its model. Pure.

A disk made of a snapshot is empty at first: each block comes from S3 when it is first read. How long that takes was not
measured here. The rates below are assumptions that people report, or bounds that AWS documents, each with its source.
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.costs.assumptions import Range
from tasks.costs.price_book import HOME_REGION, Book, shipped_book
from tasks.settings.ec2 import ModelDisk

# At the most, for 30 minutes a day at least; from 4xlarge on always. MB/s
# (https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html, the same as DescribeInstanceTypes answers).
_MOST_MB_S = {
    **{"g4dn.xlarge": 437, "g4dn.2xlarge": 437, "g4dn.4xlarge": 593, "g4dn.8xlarge": 1187},
    **{"g5.xlarge": 437, "g5.2xlarge": 437, "g5.4xlarge": 593, "g5.8xlarge": 2000},
    **{"g6.xlarge": 625, "g6.2xlarge": 625, "g6.4xlarge": 1000, "g6.8xlarge": 2000},
    **{"g6e.xlarge": 625, "g6e.2xlarge": 625, "g6e.4xlarge": 1000, "g6e.8xlarge": 2000},
    **{"c5.xlarge": 593, "c5.2xlarge": 593, "c5.4xlarge": 593, "m5.xlarge": 593, "m5.2xlarge": 593},
}
LEAST_MB_S = 125
"""Of every gp3 disk."""
LAZY_MB_S = Range(low=10, typical=20, high=30)
"""One reader of a disk that is still empty, as people report; not measured here."""
READERS = 16
"""At once, while the model is read ahead; that their rates add up is an assumption."""
PULL_MB_S = Range(low=50, typical=100, high=300)
"""From Ollama's registry; an assumption."""
VERIFY_MB_S = 500.0
"""Of what was pulled, by its SHA-256; an assumption."""
INITIALIZATION_MB_S = 300 * 1.048576
"""That AWS promises for a disk whose initialization is paid for."""


def disk_mb_s(wanted: int, types: Iterable[str]) -> int:
    """Return the throughput that is worth its price: what was asked for, or the most that one of the types takes."""
    known = [_MOST_MB_S.get(name) for name in types]
    most = [each for each in known if each is not None]
    if not most or len(most) < len(known):
        return wanted
    return max(LEAST_MB_S, min(wanted, max(most)))


def model_seconds(how: ModelDisk, *, model_gb: float, image_gb: float, disk_mb_s: float) -> Range:
    """Reckon how long a new machine of a baked image takes to read its model for the first time, seconds."""
    if how is ModelDisk.INSTANCE_STORE:
        return _seconds(model_gb, PULL_MB_S) + Range.exactly(model_gb * 1000 / VERIFY_MB_S)
    together = LAZY_MB_S.times(READERS)
    ahead = _seconds(model_gb, Range(**{end: min(mb_s, disk_mb_s) for end, mb_s in dict(together).items()}))
    if how is ModelDisk.PREFETCH:
        return ahead
    whole = image_gb * 1000 / min(INITIALIZATION_MB_S, disk_mb_s)
    return Range(**{end: min(seconds, whole) for end, seconds in dict(ahead).items()})


def initialization_usd(how: ModelDisk, image_gb: float, region: str = HOME_REGION, book: Book | None = None) -> float:
    """Reckon what filling a new machine's disk costs at its launch, USD."""
    if how is not ModelDisk.PROVISIONED:
        return 0.0
    return (book or shipped_book()).usd("ebs:init_gb", region) * image_gb


def fastest_model_disk(*, model_gb: float, image_gb: float, disk_mb_s: float) -> ModelDisk:
    """Return the way that is typically the fastest; of equal ones the cheapest."""

    def rank(how: ModelDisk) -> tuple[float, float]:
        seconds = model_seconds(how, model_gb=model_gb, image_gb=image_gb, disk_mb_s=disk_mb_s)
        return seconds.typical, initialization_usd(how, image_gb)

    return min(ModelDisk, key=rank)


def _seconds(gigabytes: float, mb_s: Range) -> Range:
    """The low end is the fast one."""
    times = (gigabytes * 1000 / each for each in (mb_s.high, mb_s.typical, mb_s.low))
    return Range(**dict(zip(("low", "typical", "high"), times, strict=True)))
