"""Prices of what is used beside machines, in AWS's offer documents: pure.

How AWS names them was read in public code that asks the same API, infracost's above all
(https://github.com/infracost/infracost/tree/master/internal/resources/aws); it was not asked from here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tasks.costs.price_book import Price

# A usage type begins with the region's short name, such as USE1- or EU-; in us-east-1 many have none.
_REGION = r"(?:[A-Z]{2,4}\d?-)?"


@dataclass(frozen=True)
class Service:
    """A thing with a price.

    Attributes:
        item: in the price book.
        code: of the service.
        filters: for GetProducts, beside the region.
        usage: the usage type, without the region's short name.
        unit: in the price book.
        per: AWS's units in one of the book's.
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
    _disk("mb_s", "Provisioned Throughput", "VolumeP-Throughput", "MB/s-month", 1 / 1024),  # AWS has it a GiB/s
    Service("ipv4", "AmazonVPC", {"group": "VPCPublicIPv4Address"}, "PublicIPv4:InUseAddress", "hour"),
    Service("alb:hour", "AWSELB", _ALB, "LoadBalancerUsage", "hour"),
    Service("alb:lcu", "AWSELB", _ALB, "LCUUsage", "LCU-hour"),
    Service("fargate:vcpu", "AmazonECS", _TASKS, "Fargate-vCPU-Hours:perCPU", "hour"),
    Service("fargate:gb", "AmazonECS", _TASKS, "Fargate-GB-Hours", "GB-hour"),
    # Of arm64, on which the function runs.
    Service("lambda:gb_s", "AWSLambda", {"group": "AWS-Lambda-Duration-ARM"}, "Lambda-GB-Second-ARM", "GB-second"),
    Service("lambda:request", "AWSLambda", {"group": "AWS-Lambda-Requests"}, "Request", "request"),
    Service("s3:gb", "AmazonS3", {"volumeType": "Standard"}, "TimedStorage-ByteHrs", "GB-month"),
    Service("s3:put", "AmazonS3", {"group": "S3-API-Tier1"}, "Requests-Tier1", "request"),
)


def endpoint_instance(instance_type: str) -> Service:
    """A SageMaker endpoint's machine."""
    name = f"ml.{instance_type}"
    return Service(name, "AmazonSageMaker", {"instanceName": name}, f"Host:{name}", "hour")


def service_prices(service: Service, region: str, offer: str, source: str) -> Iterator[Price]:
    """The price in one document of `GetProducts`, if it is of this service's usage: that of the first units.

    Args:
        service: which.
        region: that was asked for.
        offer: JSON.
        source: key of the source that it is noted under.
    """
    document = json.loads(offer)
    usage = document["product"]["attributes"].get("usagetype", "")
    if re.fullmatch(_REGION + re.escape(service.usage), usage) is None:
        return
    for term in document["terms"].get("OnDemand", {}).values():
        tiers = sorted(
            (float(each.get("beginRange") or 0), float(each["pricePerUnit"].get("USD", 0)))
            for each in term["priceDimensions"].values()
        )
        first = next((usd for _, usd in tiers if usd > 0), None)  # some units may be free
        if first is not None:
            yield Price(item=service.item, region=region, usd=first * service.per, unit=service.unit, source=source)
