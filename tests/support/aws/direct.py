"""moto's EC2 without the front: seen by no record, hit by no fault."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.aws.wire import ec2_answer, ec2_request
from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Seen:
    """An instance as moto has it."""

    id: str
    state: str
    address: str
    type: str
    market: str
    zone: str
    tags: dict[str, str]


def seen(item: ET.Element) -> Seen:
    """Read from DescribeInstances' XML."""
    tags = {each.findtext("key", ""): each.findtext("value", "") for each in item.iterfind("tagSet/item")}
    return Seen(
        id=item.findtext("instanceId", ""),
        state=item.findtext("instanceState/name", ""),
        address=item.findtext("privateIpAddress", ""),
        type=item.findtext("instanceType", ""),
        market=item.findtext("instanceLifecycle", "on-demand"),
        zone=item.findtext("placement/availabilityZone", ""),
        tags=tags,
    )


def items(root: ET.Element) -> list[ET.Element]:
    """The instances of a DescribeInstances answer."""
    return root.findall("reservationSet/item/instancesSet/item")


class Direct:
    """From threads."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False, verify=False)

    def __call__(self, action: str, **parameters: Any) -> ET.Element:
        return ec2_answer(self._client.post("/", **ec2_request(action, parameters)))

    def instances(self) -> dict[str, Seen]:
        """All that ever were."""
        found = (seen(item) for item in items(self("DescribeInstances", MaxResults=1000)))
        return {each.id: each for each in found}

    def close(self) -> None:
        self._client.close()


class AsyncDirect:
    """From the front."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, action: str, **parameters: Any) -> ET.Element:
        return ec2_answer(await self._client.post("/", **ec2_request(action, parameters)))

    async def instances(self) -> dict[str, Seen]:
        """All that ever were."""
        found = (seen(item) for item in items(await self("DescribeInstances", MaxResults=1000)))
        return {each.id: each for each in found}

    async def zone(self, subnet: str) -> str:
        """Where a subnet is."""
        found = await self("DescribeSubnets", SubnetId=[subnet])
        return found.findtext("subnetSet/item/availabilityZone", "")
