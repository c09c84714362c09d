"""Ask AWS what machines cost now: the Pricing API, and the history of spot prices."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tasks.aws import Aws, ask
from tasks.prices.book import REGIONS, Book, Price, Source, Term
from tasks.prices.offers import prices_of

TYPES = (
    *("g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge", "g5.xlarge", "g5.2xlarge"),
    *("g6.xlarge", "g6.2xlarge", "c5.2xlarge", "c5.4xlarge"),
)
_API_REGION = "us-east-1"  # the Pricing API is not in every region, and tells of all from here
_SAME_FOR_ALL = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "preInstalledSw": "NA",
    "licenseModel": "No License required",
}
_OFFERS, _SPOT = "aws-pricing-api", "aws-spot-history"


async def asked(types: Iterable[str] = TYPES, regions: Iterable[str] = REGIONS) -> Book:
    """The prices of machines now: on demand, spot (the cheapest zone's) and reserved.

    Raises:
        CloudError: AWS refuses, or cannot be reached.
    """
    today = datetime.now(UTC).date()
    sources = {
        _OFFERS: Source(url="https://api.pricing.us-east-1.amazonaws.com", date=today, note="GetProducts"),
        _SPOT: Source(url="https://ec2.amazonaws.com", date=today, note="DescribeSpotPriceHistory"),
    }
    pricing, chosen = Aws(_API_REGION)._client("pricing"), list(types)
    prices: list[Price] = []
    for region in regions:
        for each in chosen:
            prices += await _offered(pricing, each, region)
        prices += await _spot(region, chosen)
    return Book(sources=sources, prices=tuple(prices))


async def _offered(pricing: Any, instance_type: str, region: str) -> list[Price]:  # noqa: ANN401 - boto3-stubs lack it here
    wanted = {**_SAME_FOR_ALL, "instanceType": instance_type, "regionCode": region}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    prices: list[Price] = []
    page: dict[str, Any] = {}
    while True:
        page = await ask(pricing.get_products, ServiceCode="AmazonEC2", Filters=filters, **page)
        prices += [price for offer in page["PriceList"] for price in prices_of(offer, _OFFERS)]
        if not page.get("NextToken"):
            return prices
        page = {"NextToken": page["NextToken"]}


async def _spot(region: str, types: list[str]) -> list[Price]:
    ec2: Any = Aws(region).ec2
    cheapest: dict[str, float] = {}
    following: dict[str, str] = {}
    while True:
        page = await ask(
            ec2.describe_spot_price_history,
            InstanceTypes=types,
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.now(UTC),  # one price a zone: the one in force
            **following,
        )
        for entry in page["SpotPriceHistory"]:
            usd = float(entry["SpotPrice"])
            cheapest[entry["InstanceType"]] = min(usd, cheapest.get(entry["InstanceType"], usd))
        if not page.get("NextToken"):
            break
        following = {"NextToken": page["NextToken"]}
    return [Price(item=each, region=region, term=Term.SPOT, usd=usd, source=_SPOT) for each, usd in cheapest.items()]
