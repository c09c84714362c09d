"""Quotas of an account: vCPUs of a kind, or instances of an endpoint, that it may have at once."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from tasks.aws.client import Aws, ask, ask_all
from tasks.core.errors import CloudError
from tasks.core.finding import Finding, State

# Names as Service Quotas shows them (https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html).
_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
_OF_EC2 = {
    ("spot", True): ("All G and VT Spot Instance Requests", "L-3819A6DF"),
    ("spot", False): (f"All {_STANDARD} Spot Instance Requests", "L-34B43A08"),
    ("on-demand", True): ("Running On-Demand G and VT instances", "L-DB2E81BA"),
    ("on-demand", False): (f"Running On-Demand {_STANDARD} instances", "L-1216C47A"),
}
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
_OF_FARGATE = {
    False: ("Fargate On-Demand vCPU resource count", "L-3032A538"),
    True: ("Fargate Spot vCPU resource count", "L-36FBB829"),
}
_CALL_SECONDS = 12.0


@dataclass(frozen=True)
class Quota:
    """A quota, and whether it allows one machine where nothing else runs.

    Attributes:
        name: as Service Quotas shows it.
        allowed: vCPUs, or instances; None if unknown.
        needed: by one machine, in the same unit.
    """

    name: str
    allowed: float | None
    needed: float = 1.0
    why_unknown: str = ""

    @property
    def suffices(self) -> bool:
        """Whether it allows a machine, or is unknown."""
        return self.allowed is None or self.allowed >= self.needed

    def __str__(self) -> str:
        if self.allowed is None:
            return f"{self.name} is not known: {self.why_unknown.rstrip('.')}"
        return f"{self.name} is {self.allowed:g}, and a machine takes {self.needed:g}"


def ec2_quota_name(market: str, instance_type: str) -> str:
    """Return the name of the quota that counts machines of a type in a market, spot or on-demand."""
    return "{} ({})".format(*_of_ec2(market, instance_type))


async def ec2_quota(aws: Aws, market: str, instance_type: str) -> Quota:
    """Return the quota that counts machines of a type in a market."""
    name, code = ec2_quota_name(market, instance_type), _of_ec2(market, instance_type)[1]

    async def read() -> Quota:
        response = await ask(aws.service_quotas.get_service_quota, ServiceCode="ec2", QuotaCode=code)
        types: list[Any] = [instance_type]  # boto3-stubs lists those of its day
        described = await ask(aws.ec2.describe_instance_types, InstanceTypes=types)
        vcpus = described["InstanceTypes"][0]["VCpuInfo"]["DefaultVCpus"]
        return Quota(name, float(response["Quota"]["Value"]), float(vcpus))

    return await _read_in_time(name, read())


async def endpoint_quota(aws: Aws, instance_type: str) -> Quota:
    """Return the quota on instances of SageMaker endpoints of a type. Each type has a code of its own."""
    name = f"{instance_type} for endpoint usage"

    async def read() -> Quota:
        listed = await ask_all(aws.service_quotas, "list_service_quotas", "Quotas", ServiceCode="sagemaker")
        value = next((float(quota["Value"]) for quota in listed if quota["QuotaName"] == name), None)
        return Quota(name, value, why_unknown="AWS lists no quota of that name.")

    return await _read_in_time(name, read())


async def fargate_quota(aws: Aws, vcpus: float, *, spot: bool) -> Quota:
    """Return the quota on vCPUs of Fargate tasks, each of which takes `vcpus`."""
    title, code = _OF_FARGATE[spot]
    name = f"{title} ({code})"

    async def read() -> Quota:
        response = await ask(aws.service_quotas.get_service_quota, ServiceCode="fargate", QuotaCode=code)
        return Quota(name, float(response["Quota"]["Value"]), vcpus)

    return await _read_in_time(name, read())


async def _read_in_time(name: str, read: Awaitable[Quota]) -> Quota:
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            return await read
    except (CloudError, TimeoutError) as error:
        return Quota(name, None, why_unknown=str(error) or "AWS did not answer in time.")


def _of_ec2(market: str, instance_type: str) -> tuple[str, str]:
    return _OF_EC2[market, instance_type.startswith(("g", "vt")) or not instance_type]


def of_quotas(*quotas: Quota) -> Finding:
    """Return whether one of several quotas, any of which will do, allows a machine."""
    summary = f"Quota: {'; '.join(map(str, quotas))}."
    if any(quota.allowed is not None and quota.suffices for quota in quotas):
        return Finding(State.OK, summary)
    if any(quota.allowed is None for quota in quotas):
        return Finding(State.UNKNOWN, summary, "Look in Service Quotas.")
    return Finding(State.MISSING, summary, "Ask for more of it in Service Quotas.")
