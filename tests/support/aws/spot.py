"""Spot requests as EC2 tells them.

Simulated, after the EC2 User Guide (Spot request status; Spot Instance interruption notices): moto's never change.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tests.support.aws.direct import AsyncDirect

MARKED = "marked-for-termination"
TAKEN = "instance-terminated-no-capacity"
BY_USER = "instance-terminated-by-user"


class Spot:
    """What became of the machines of the spot market.

    Attributes:
        marks: a status of ours, by instance.
    """

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}

    async def requests(self, moto: AsyncDirect) -> dict[str, str]:
        """The request of each instance."""
        root = await moto("DescribeSpotInstanceRequests")
        found = root.iterfind("spotInstanceRequestSet/item")
        return {item.findtext("instanceId", ""): item.findtext("spotInstanceRequestId", "") for item in found}

    def retell(self, item: ET.Element, states: dict[str, str]) -> None:
        """Instant fleets make one-time requests, which close with their instance."""
        name = item.findtext("instanceId", "")
        item.find("type").text = "one-time"
        ended = states.get(name) == "terminated"
        mark = self.marks.get(name, BY_USER if ended else None)
        if mark:
            item.find("status/code").text = mark
        if ended:
            item.find("state").text = "closed"
