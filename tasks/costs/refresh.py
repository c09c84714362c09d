"""Ask AWS what machines cost now: the Pricing API, and the history of spot prices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.aws.client import Aws, ask
from tasks.costs.offers import machine_prices
from tasks.costs.price_book import REGIONS, Book, Price, Source, Term
from tasks.costs.services import SERVICES, Service, endpoint_instance, service_prices

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


async def fetch_prices(types: Iterable[str] = TYPES, regions: Iterable[str] = REGIONS) -> Book:
    """The prices of machines now (on demand, spot in the cheapest zone, reserved, SageMaker's), and of what is beside.

    Raises:
        CloudError: AWS refuses, or cannot be reached.
    """
    today = datetime.now(UTC).date()
    sources = {
        _OFFERS: Source(url="https://api.pricing.us-east-1.amazonaws.com", date=today, note="GetProducts"),
        _SPOT: Source(url="https://ec2.amazonaws.com", date=today, note="DescribeSpotPriceHistory"),
    }
    pricing, chosen = Aws(_API_REGION).pricing, list(types)
    prices: list[Price] = []
    for region in regions:
        for each in chosen:
            prices += await _offered(pricing, each, region)
        for service in (*SERVICES, *map(endpoint_instance, chosen)):
            prices += await _of_service(pricing, service, region)
        prices += await _spot(region, chosen)
    return Book(sources=sources, prices=tuple(prices))


async def _offered(pricing: Any, instance_type: str, region: str) -> list[Price]:  # noqa: ANN401 - boto3-stubs lack it here
    wanted = {**_SAME_FOR_ALL, "instanceType": instance_type}
    return [
        price
        async for offer in _offers(pricing, "AmazonEC2", region, wanted)
        for price in machine_prices(offer, _OFFERS)
    ]


async def _of_service(pricing: Any, service: Service, region: str) -> list[Price]:  # noqa: ANN401 - as above
    found = [
        price
        async for offer in _offers(pricing, service.code, region, service.filters)
        for price in service_prices(service, region, offer, _OFFERS)
    ]
    return found[:1]


async def _offers(pricing: Any, code: str, region: str, wanted: Mapping[str, str]) -> AsyncIterator[str]:  # noqa: ANN401 - as above
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in {**wanted, "regionCode": region}.items()]
    page: dict[str, Any] = {}
    while True:
        page = await ask(pricing.get_products, ServiceCode=code, Filters=filters, **page)
        for offer in page["PriceList"]:
            yield offer
        if not page.get("NextToken"):
            return
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
