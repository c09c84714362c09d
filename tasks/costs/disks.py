"""The throughput of machines' disks, and how long a new machine takes to read its model from one. Pure.

A disk created from a snapshot is empty at first: each block is fetched from S3 when it is first read. The rates below
were not measured by us: they are reports of other users, or limits that AWS documents, each with its source.
"""

from collections.abc import Iterable

from tasks.costs.assumptions import Range
from tasks.costs.price_book import HOME_REGION, Book, shipped_book
from tasks.settings.ec2 import ModelDisk

MAX_MB_S = {
    **{"g4dn.xlarge": 437, "g4dn.2xlarge": 437, "g4dn.4xlarge": 593, "g4dn.8xlarge": 1187},
    **{"g5.xlarge": 437, "g5.2xlarge": 437, "g5.4xlarge": 593, "g5.8xlarge": 2000},
    **{"g6.xlarge": 625, "g6.2xlarge": 625, "g6.4xlarge": 1000, "g6.8xlarge": 2000},
    **{"g6e.xlarge": 625, "g6e.2xlarge": 625, "g6e.4xlarge": 1000, "g6e.8xlarge": 2000},
    **{"c5.xlarge": 593, "c5.2xlarge": 593, "c5.4xlarge": 593, "m5.xlarge": 593, "m5.2xlarge": 593},
}
"""Highest disk throughput by instance type, MB/s: for at least 30 minutes a day, from 4xlarge on at any time
(https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html, the same as DescribeInstanceTypes answers)."""
_MIN_MB_S = 125  # of every gp3 disk
_LAZY_MB_S = Range(low=10, typical=20, high=30)  # one reader of an empty disk, as users report
_READERS = 16  # that read the model ahead in parallel; that their rates add up is an assumption
_PULL_MB_S = Range(low=50, typical=100, high=300)  # from Ollama's registry; an assumption
_VERIFY_MB_S = 500.0  # of the SHA-256 check of a pulled model; an assumption
_INITIALIZATION_MB_S = 300 * 1.048576  # that AWS promises for a disk with paid initialization


def disk_mb_s(requested: int, types: Iterable[str]) -> int:
    """Return the requested throughput, or the highest that one of the types can use if that is less."""
    limits = [MAX_MB_S.get(name) for name in types]
    known = [limit for limit in limits if limit is not None]
    if not known or len(known) < len(limits):
        return requested
    return max(_MIN_MB_S, min(requested, max(known)))


def model_seconds(how: ModelDisk, *, model_gb: float, image_gb: float, disk_mb_s: float) -> Range:
    """Estimate how long a new machine of a baked image takes to read its model for the first time, seconds."""
    if how is ModelDisk.INSTANCE_STORE:
        return _seconds(model_gb, _PULL_MB_S) + Range.exactly(model_gb * 1000 / _VERIFY_MB_S)
    together = _LAZY_MB_S.times(_READERS)
    ahead = _seconds(model_gb, Range(**{end: min(mb_s, disk_mb_s) for end, mb_s in dict(together).items()}))
    if how is ModelDisk.PREFETCH:
        return ahead
    whole = image_gb * 1000 / min(_INITIALIZATION_MB_S, disk_mb_s)
    return Range(**{end: min(seconds, whole) for end, seconds in dict(ahead).items()})


def initialization_usd(how: ModelDisk, image_gb: float, region: str = HOME_REGION, book: Book | None = None) -> float:
    """Return the price of filling a new machine's disk at its launch, USD."""
    if how is not ModelDisk.PROVISIONED:
        return 0.0
    return (book or shipped_book()).usd("ebs:init_gb", region) * image_gb


def _seconds(gigabytes: float, mb_s: Range) -> Range:
    low, typical, high = (gigabytes * 1000 / rate for rate in (mb_s.high, mb_s.typical, mb_s.low))
    return Range(low=low, typical=typical, high=high)
