"""An account's quotas: how many vCPUs of a kind, or instances of an endpoint, it may have at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tasks.aws.client import Aws, ask
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
_MOST_PAGES = 60
_CALL_SECONDS = 12.0


@dataclass(frozen=True)
class Quota:
    """A quota, and whether it lets one more machine in where nothing else runs.

    Attributes:
        name: as Service Quotas shows it.
        allowed: vCPUs, or instances; None where it could not be asked for.
        needed: by one machine, in the same unit.
        why_unknown: where it could not be asked for.
    """

    name: str
    allowed: float | None
    needed: float = 1.0
    why_unknown: str = ""

    @property
    def suffices(self) -> bool:
        """Whether it does, where it is known."""
        return self.allowed is None or self.allowed >= self.needed


def ec2_quota_name(market: str, instance_type: str) -> str:
    """Return which quota counts machines of a type in a market, spot or on-demand."""
    return "{} ({})".format(*_of_ec2(market, instance_type))


async def ec2_quota(aws: Aws, market: str, instance_type: str) -> Quota:
    """Ask for the quota that counts machines of a type in a market."""
    name = ec2_quota_name(market, instance_type)
    code = _of_ec2(market, instance_type)[1]
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            answer = await ask(aws.service_quotas.get_service_quota, ServiceCode="ec2", QuotaCode=code)
            types: list[Any] = [instance_type]  # boto3-stubs lists those of its day
            described = await ask(aws.ec2.describe_instance_types, InstanceTypes=types)
    except (CloudError, TimeoutError) as error:
        return _unknown(name, error)
    vcpus = described["InstanceTypes"][0]["VCpuInfo"]["DefaultVCpus"]
    return Quota(name, float(answer["Quota"]["Value"]), float(vcpus))


async def endpoint_quota(aws: Aws, instance_type: str) -> Quota:
    """Ask for the quota on instances of SageMaker endpoints of a type, which has a code of its own for each type."""
    name, token = f"{instance_type} for endpoint usage", ""
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            for _ in range(_MOST_PAGES):
                more = {"NextToken": token} if token else {}
                page = {"ServiceCode": "sagemaker", "MaxResults": 100, **more}
                listed = await ask(aws.service_quotas.list_service_quotas, **page)
                for quota in listed["Quotas"]:
                    if quota["QuotaName"] == name:
                        return Quota(name, float(quota["Value"]))
                token = listed.get("NextToken", "")
                if not token:
                    break
    except (CloudError, TimeoutError) as error:
        return _unknown(name, error)
    return Quota(name, None, why_unknown="AWS lists no quota of that name.")


async def fargate_quota(aws: Aws, vcpus: float, *, spot: bool) -> Quota:
    """Ask for the quota on vCPUs of Fargate tasks, of which one task takes so many."""
    name, code = _OF_FARGATE[spot]
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            answer = await ask(aws.service_quotas.get_service_quota, ServiceCode="fargate", QuotaCode=code)
    except (CloudError, TimeoutError) as error:
        return _unknown(f"{name} ({code})", error)
    return Quota(f"{name} ({code})", float(answer["Quota"]["Value"]), vcpus)


def _of_ec2(market: str, instance_type: str) -> tuple[str, str]:
    return _OF_EC2[market, instance_type.startswith(("g", "vt")) or not instance_type]


def _unknown(name: str, error: Exception) -> Quota:
    return Quota(name, None, why_unknown=str(error) or "AWS did not answer in time.")


def of_quotas(*quotas: Quota) -> Finding:
    """Say whether one of several quotas, any of which will do, lets a machine in."""
    told = "; ".join(_told(quota) for quota in quotas)
    if any(quota.allowed is not None and quota.suffices for quota in quotas):
        return Finding(State.OK, f"Quota: {told}.")
    if any(quota.allowed is None for quota in quotas):
        return Finding(State.UNKNOWN, f"Quota: {told}.", "Look in Service Quotas.")
    return Finding(State.MISSING, f"Quota: {told}.", "Ask for more of it in Service Quotas.")


def _told(quota: Quota) -> str:
    if quota.allowed is None:
        return f"{quota.name} is not known: {quota.why_unknown.rstrip('.')}"
    return f"{quota.name} is {quota.allowed:g}, and a machine takes {quota.needed:g}"
