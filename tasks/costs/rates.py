"""What machines cost: a dated price book, and where its figures are from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tasks.costs.price_book import HOME_REGION, Book, Term, shipped_book

# The first 125 MB/s and 3,000 IOPS are part of a gp3's size, and each MB/s needs four IOPS
# (https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html).
_GP3_FREE_MB_S = 125
_GP3_FREE_IOPS = 3_000
_GP3_IOPS_PER_MB_S = 4
HOURS_A_MONTH = 730


def on_demand_usd_per_hour(instance_type: str, region: str = HOME_REGION, book: Book | None = None) -> float | None:
    """USD per hour on demand; see `_per_hour`."""
    return _per_hour(instance_type, region, Term.ON_DEMAND, book)


def fallback_note(items: Iterable[str], region: str, book: Book) -> str | None:
    """Which on-demand prices are those of us-east-1 for want of the region's, for people; None if none is."""
    elsewhere = [item for item in items if not book.find(item, region) and book.find(item, HOME_REGION)]
    if not elsewhere:
        return None
    names = ", ".join(elsewhere)
    return (
        f"The price book lacks {region}'s price of {names}: {HOME_REGION}'s is taken. `hearth prices refresh` asks AWS."
    )


def price_notes(items: Iterable[str], region: str, book: Book) -> Iterator[str]:
    """Of which region prices are, for people."""
    yield f"Prices of {region}."
    if (told := fallback_note(items, region, book)) is not None:
        yield told


def fargate_usd_per_hour(vcpu: int, gigabytes: int, region: str = HOME_REGION, book: Book | None = None) -> float:
    """USD per hour of a Fargate task on demand, Linux on x86; of us-east-1 if the book lacks the region."""
    prices = book or shipped_book()
    return prices.usd("fargate:vcpu", region) * vcpu + prices.usd("fargate:gb", region) * gigabytes


def balancer_usd_per_hour(region: str = HOME_REGION, book: Book | None = None) -> float:
    """USD per hour of an Application Load Balancer with one capacity unit in use; of us-east-1 if the book lacks it."""
    prices = book or shipped_book()
    return prices.usd("alb:hour", region) + prices.usd("alb:lcu", region)


def spot_usd_per_hour(instance_type: str, region: str = HOME_REGION, book: Book | None = None) -> float | None:
    """USD per hour on spot when the price was read, which moves by the hour; see `_per_hour`."""
    return _per_hour(instance_type, region, Term.SPOT, book)


def gp3_usd_per_hour(size_gb: int, throughput_mb_s: int, region: str = HOME_REGION, book: Book | None = None) -> float:
    """USD per hour of a gp3 disk. It is paid for while its machine is stopped, too."""
    amounts = {
        "gp3:gb": size_gb,
        "gp3:mb_s": max(0, throughput_mb_s - _GP3_FREE_MB_S),
        "gp3:iops": max(0, throughput_mb_s * _GP3_IOPS_PER_MB_S - _GP3_FREE_IOPS),
    }
    prices = book or shipped_book()
    return sum(prices.usd(item, region) * amount for item, amount in amounts.items()) / HOURS_A_MONTH


def _per_hour(instance_type: str, region: str, term: Term, book: Book | None) -> float | None:
    """Of a region, or of us-east-1 if the book lacks that one; the book is the shipped one if None."""
    prices = book or shipped_book()
    price = prices.find(instance_type, region, term) or prices.find(instance_type, HOME_REGION, term)
    return price.usd if price else None
