"""Ask AWS for today's prices: the Pricing API, and the history of spot prices."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.aws.client import Aws, ask_all
from tasks.costs.offers import SERVICES, Service, endpoint_instance, machine_prices, service_prices
from tasks.costs.price_book import REGIONS, Book, Price, Source, Term

TYPES = (
    *("g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge", "g5.xlarge", "g5.2xlarge"),
    *("g6.xlarge", "g6.2xlarge", "c5.2xlarge", "c5.4xlarge"),
)
_API_REGION = "us-east-1"  # the Pricing API exists in few regions, and answers for all of them
_SAME_FOR_ALL = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "preInstalledSw": "NA",
    "licenseModel": "No License required",
}
_OFFERS, _SPOT = "aws-pricing-api", "aws-spot-history"


async def fetch_prices(types: Iterable[str] = TYPES, regions: Iterable[str] = REGIONS) -> Book:
    """Return today's prices of machines and of what is used beside them.

    Machines have on-demand, reserved and SageMaker prices, and the spot price of the cheapest zone.

    Raises:
        CloudError: AWS refused the request, or cannot be reached.
    """
    today = datetime.now(UTC).date()
    sources = {
        _OFFERS: Source(url="https://api.pricing.us-east-1.amazonaws.com", date=today, note="GetProducts"),
        _SPOT: Source(url="https://ec2.amazonaws.com", date=today, note="DescribeSpotPriceHistory"),
    }
    pricing, instance_types = Aws(_API_REGION).pricing, list(types)
    prices: list[Price] = []
    for region in regions:
        for instance_type in instance_types:
            attributes = {**_SAME_FOR_ALL, "instanceType": instance_type}
            offers = await _offers(pricing, "AmazonEC2", region, attributes)
            prices += [price for offer in offers for price in machine_prices(offer, _OFFERS)]
        for service in (*SERVICES, *map(endpoint_instance, instance_types)):
            prices += await _service_prices(pricing, service, region)
        prices += await _spot(region, instance_types)
    return Book(sources=sources, prices=tuple(prices))


async def _service_prices(pricing: Any, service: Service, region: str) -> list[Price]:  # noqa: ANN401 - boto3-stubs lack it here
    offers = await _offers(pricing, service.code, region, service.filters)
    return [price for offer in offers for price in service_prices(service, region, offer, _OFFERS)][:1]


async def _offers(pricing: Any, code: str, region: str, attributes: Mapping[str, str]) -> list[str]:  # noqa: ANN401 - as above
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in {**attributes, "regionCode": region}.items()]
    return await ask_all(pricing, "get_products", "PriceList", ServiceCode=code, Filters=filters)


async def _spot(region: str, types: list[str]) -> list[Price]:
    found = await ask_all(
        Aws(region).ec2,
        "describe_spot_price_history",
        "SpotPriceHistory",
        InstanceTypes=types,
        ProductDescriptions=["Linux/UNIX"],
        StartTime=datetime.now(UTC),  # the current price of each zone
    )
    cheapest: dict[str, float] = {}
    for entry in found:
        usd = float(entry["SpotPrice"])
        cheapest[entry["InstanceType"]] = min(usd, cheapest.get(entry["InstanceType"], usd))
    return [Price(item=name, region=region, term=Term.SPOT, usd=usd, source=_SPOT) for name, usd in cheapest.items()]
