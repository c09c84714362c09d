"""What a machine costs while it runs."""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.aws.client import Aws, ask
from tasks.backends.ec2.machine import Machine, Market
from tasks.core.errors import CloudError
from tasks.costs.price_book import Book
from tasks.costs.rates import on_demand_usd_per_hour


async def usd_per_hour(aws: Aws, machine: Machine, book: Book | None = None) -> float | None:
    """USD per hour: of spot the price of its zone now, on demand the price book's. None if it is not known."""
    if machine.market is Market.ON_DEMAND:
        return on_demand_usd_per_hour(machine.type, machine.region, book)
    try:
        answer = await ask(
            aws.ec2.describe_spot_price_history,
            AvailabilityZone=machine.zone,
            InstanceTypes=[machine.type],  # type: ignore[list-item] # EC2 has types that the stubs do not know yet
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.now(UTC),
            MaxResults=1,
        )
    except CloudError:
        return None
    prices = [float(entry["SpotPrice"]) for entry in answer["SpotPriceHistory"]]
    return prices[0] if prices else None


def usd_so_far(machine: Machine, price: float | None, now: float) -> float | None:
    """USD since the machine was last started, its disk not counted; None if its price is not known."""
    return None if price is None else price * max(0.0, now - machine.launched_at) / 3600
