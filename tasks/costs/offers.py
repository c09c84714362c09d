"""AWS's offer documents: which are asked for, and the prices that are read from them. Pure.

The names of services and usage types come from public code that asks the same API, mainly infracost's
(https://github.com/infracost/infracost/tree/master/internal/resources/aws); they were not checked against the API.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.costs.price_book import Price, Term

HOURS_A_YEAR = 8_760
_YEARS = {"1yr": 1, "3yr": 3}
_RESERVED = {
    ("1yr", "No Upfront"): Term.RESERVED_1Y_NO,
    ("1yr", "All Upfront"): Term.RESERVED_1Y_FULL,
    ("3yr", "No Upfront"): Term.RESERVED_3Y_NO,
    ("3yr", "All Upfront"): Term.RESERVED_3Y_FULL,
}
# A usage type begins with the region's short name, such as USE1- or EU-; in us-east-1 many have none.
_REGION = r"(?:[A-Z]{2,4}\d?-)?"


@dataclass(frozen=True)
class Service:
    """A service with a price.

    Attributes:
        item: name in the price book.
        code: service code of the Pricing API.
        filters: of `GetProducts`, besides the region.
        usage: usage type without the region's short name.
        unit: unit in the price book.
        per: number of AWS's units in one unit of the price book.
    """

    item: str
    code: str
    filters: Mapping[str, str]
    usage: str
    unit: str
    per: float = 1.0


def _disk(item: str, family: str, usage: str, unit: str, per: float = 1.0) -> Service:
    filters = {"productFamily": family, "volumeApiName": "gp3"}
    return Service(f"gp3:{item}", "AmazonEC2", filters, f"EBS:{usage}.gp3", unit, per)


_ALB, _TASKS = {"productFamily": "Load Balancer-Application"}, {"productFamily": "Compute"}
SERVICES = (
    _disk("gb", "Storage", "VolumeUsage", "GB-month"),
    _disk("iops", "System Operation", "VolumeP-IOPS", "IOPS-month"),
    _disk("mb_s", "Provisioned Throughput", "VolumeP-Throughput", "MB/s-month", 1 / 1024),  # AWS counts GiB/s
    Service("ipv4", "AmazonVPC", {"group": "VPCPublicIPv4Address"}, "PublicIPv4:InUseAddress", "hour"),
    Service("alb:hour", "AWSELB", _ALB, "LoadBalancerUsage", "hour"),
    Service("alb:lcu", "AWSELB", _ALB, "LCUUsage", "LCU-hour"),
    Service("fargate:vcpu", "AmazonECS", _TASKS, "Fargate-vCPU-Hours:perCPU", "hour"),
    Service("fargate:gb", "AmazonECS", _TASKS, "Fargate-GB-Hours", "GB-hour"),
    # The function runs on arm64.
    Service("lambda:gb_s", "AWSLambda", {"group": "AWS-Lambda-Duration-ARM"}, "Lambda-GB-Second-ARM", "GB-second"),
    Service("lambda:request", "AWSLambda", {"group": "AWS-Lambda-Requests"}, "Request", "request"),
    Service("s3:gb", "AmazonS3", {"volumeType": "Standard"}, "TimedStorage-ByteHrs", "GB-month"),
    Service("s3:put", "AmazonS3", {"group": "S3-API-Tier1"}, "Requests-Tier1", "request"),
)


def endpoint_instance(instance_type: str) -> Service:
    """Return the service that is an instance of a SageMaker endpoint."""
    name = f"ml.{instance_type}"
    return Service(name, "AmazonSageMaker", {"instanceName": name}, f"Host:{name}", "hour")


def service_prices(service: Service, region: str, offer: str, source: str) -> Iterator[Price]:
    """Yield the price of the first tier from a JSON document of `GetProducts`, if it is of the service's usage type."""
    document = json.loads(offer)
    usage = document["product"]["attributes"].get("usagetype", "")
    if re.fullmatch(_REGION + re.escape(service.usage), usage) is None:
        return
    for term in document["terms"].get("OnDemand", {}).values():
        tiers = sorted(
            (float(tier.get("beginRange") or 0), float(tier["pricePerUnit"].get("USD", 0)))
            for tier in term["priceDimensions"].values()
        )
        first = next((usd for _, usd in tiers if usd > 0), None)  # some units may be free
        if first is not None:
            yield Price(item=service.item, region=region, usd=first * service.per, unit=service.unit, source=source)


def machine_prices(offer: str, source: str) -> Iterator[Price]:
    """Yield on-demand price and standard reservations from a JSON document of `GetProducts` about an EC2 machine."""
    document = json.loads(offer)
    attributes = document["product"]["attributes"]
    if attributes.get("marketoption", "OnDemand") != "OnDemand":
        return  # capacity blocks, which are otherwise described like on-demand machines
    item, region = attributes["instanceType"], attributes["regionCode"]
    for kind, terms in document["terms"].items():
        for entry in terms.values():
            term = _term(kind, entry["termAttributes"])
            if term is not None:
                yield Price(item=item, region=region, term=term, usd=_usd_per_hour(entry), source=source)


def _term(kind: str, attributes: dict[str, str]) -> Term | None:
    if kind == "OnDemand":
        return Term.ON_DEMAND
    if attributes.get("OfferingClass") != "standard":
        return None
    return _RESERVED.get((attributes["LeaseContractLength"], attributes["PurchaseOption"]))


def _usd_per_hour(term: dict[str, Any]) -> float:
    """Return a term's hourly price; an advance payment is spread over the hours that it covers."""
    hours = HOURS_A_YEAR * _YEARS.get(term["termAttributes"].get("LeaseContractLength", ""), 1)
    parts = ((entry["unit"], float(entry["pricePerUnit"]["USD"])) for entry in term["priceDimensions"].values())
    return sum(usd / hours if unit == "Quantity" else usd for unit, usd in parts)
