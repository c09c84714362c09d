"""Hourly prices of machines and of what runs beside them, from the price book.

Every price is that of the region, or that of us-east-1 where the book has none for the region. `book` is the shipped
price book if None.
"""

from collections.abc import Iterable, Iterator

from tasks.costs.price_book import HOME_REGION, Book, Term, shipped_book

# The first 125 MB/s and 3,000 IOPS are part of a gp3's size, and each MB/s needs four IOPS
# (https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html).
_GP3_FREE_MB_S = 125
_GP3_FREE_IOPS = 3_000
_GP3_IOPS_PER_MB_S = 4
HOURS_A_MONTH = 730


def on_demand_usd_per_hour(instance_type: str, region: str = HOME_REGION, book: Book | None = None) -> float | None:
    """Return a machine's on-demand price, USD per hour; None if the book has none."""
    price = (book or shipped_book()).nearest(instance_type, region)
    return price.usd if price else None


def spot_usd_per_hour(instance_type: str, region: str = HOME_REGION, book: Book | None = None) -> float | None:
    """Return a machine's spot price, USD per hour, at the time it was read (it moves hourly); None if unknown."""
    price = (book or shipped_book()).nearest(instance_type, region, Term.SPOT)
    return price.usd if price else None


def fallback_note(items: Iterable[str], region: str, book: Book) -> str | None:
    """Return a sentence on the on-demand prices that are those of us-east-1; None if there are none."""
    names = ", ".join(item for item in items if not book.find(item, region) and book.find(item, HOME_REGION))
    if not names:
        return None
    return (
        f"The price book has no price of {names} in {region}; the price of {HOME_REGION} is used instead. "
        "`hearth prices refresh` asks AWS."
    )


def price_notes(items: Iterable[str], region: str, book: Book) -> Iterator[str]:
    """Yield sentences on the region that prices are from."""
    yield f"Prices of {region}."
    if (note := fallback_note(items, region, book)) is not None:
        yield note


def fargate_usd_per_hour(vcpu: float, gigabytes: float, region: str = HOME_REGION, book: Book | None = None) -> float:
    """Return the on-demand price of a Fargate task (Linux on x86), USD per hour."""
    prices = book or shipped_book()
    return prices.usd("fargate:vcpu", region) * vcpu + prices.usd("fargate:gb", region) * gigabytes


def balancer_usd_per_hour(region: str = HOME_REGION, book: Book | None = None, units: float = 1) -> float:
    """Return the price of an Application Load Balancer that uses so many capacity units, USD per hour."""
    prices = book or shipped_book()
    return prices.usd("alb:hour", region) + prices.usd("alb:lcu", region) * units


def function_usd(seconds: float, gigabytes: float, region: str = HOME_REGION, book: Book | None = None) -> float:
    """Return the price of one call of a Lambda function, USD."""
    prices = book or shipped_book()
    return seconds * gigabytes * prices.usd("lambda:gb_s", region) + prices.usd("lambda:request", region)


def gp3_usd_per_hour(
    size_gb: int, throughput_mb_s: int = _GP3_FREE_MB_S, region: str = HOME_REGION, book: Book | None = None
) -> float:
    """Return the price of a gp3 disk, USD per hour. It is also paid for while its machine is stopped."""
    amounts = {
        "gp3:gb": size_gb,
        "gp3:mb_s": max(0, throughput_mb_s - _GP3_FREE_MB_S),
        "gp3:iops": max(0, throughput_mb_s * _GP3_IOPS_PER_MB_S - _GP3_FREE_IOPS),
    }
    prices = book or shipped_book()
    return sum(prices.usd(item, region) * amount for item, amount in amounts.items()) / HOURS_A_MONTH
