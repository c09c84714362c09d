"""What EC2 has to give: by market, zone and instance type.

Simulated, after the EC2 API Reference (Error codes) and the EC2 Fleet documentation; moto never runs out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Market = Literal["spot", "on-demand"]

NO_CAPACITY = "InsufficientInstanceCapacity"
PROFILE = "InvalidParameterValue"
NO_SPOT_ROLE = "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
QUOTAS = {"spot": "MaxSpotInstanceCountExceeded", "on-demand": "VcpuLimitExceeded"}
MESSAGES = {
    NO_CAPACITY: "We currently do not have sufficient capacity in the Availability Zone you requested.",
    "MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
    PROFILE: "Value (hearth-default-us-east-1) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance "
    "Profile name",
    NO_SPOT_ROLE: "The provided credentials do not have permission to create the service-linked role for EC2 Spot "
    "Instances.",
    "VcpuLimitExceeded": "You have requested more vCPU capacity than your current vCPU limit allows.",
}


@dataclass
class Rule:
    """Why nothing more than `left` machines are to be had; None stands for any."""

    market: Market | None
    zone: str | None
    type: str | None
    code: str
    left: int = 0

    def covers(self, market: str, zone: str, kind: str) -> bool:
        return (
            self.market in (None, market)
            and (self.zone is None or zone == self.zone or zone.removeprefix("us-east-1") == self.zone)
            and (self.type is None or fnmatchcase(kind, self.type))
        )


class Capacity:
    """All there is, minus the rules, once EC2 knows the instance profile."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._known_at = 0.0

    def profile_unknown_for(self, seconds: float) -> None:
        """Have EC2 not know the machines' instance profile yet, as after it was made (IAM: eventual consistency)."""
        self._known_at = time.monotonic() + seconds

    def no_spot_role(self) -> Rule:
        """The account has no service-linked role for spot, and whoever launches may not make it."""
        return self.none("spot", code=NO_SPOT_ROLE)

    def none(
        self,
        market: Market | None = None,
        zone: str | None = None,
        type: str | None = None,  # noqa: A002 - EC2's word
        *,
        code: str = NO_CAPACITY,
    ) -> Rule:
        """No machine of a market, in a zone (`us-east-1a` or `a`), of a type (may have a *)."""
        return self.limit(0, market, zone, type, code=code)

    def limit(
        self,
        count: int,
        market: Market | None = None,
        zone: str | None = None,
        type: str | None = None,  # noqa: A002 - EC2's word
        *,
        code: str = NO_CAPACITY,
    ) -> Rule:
        """So many more machines, and then none."""
        self.rules.append(Rule(market, zone, type, code, count))
        return self.rules[-1]

    def quota(self, market: Market) -> Rule:
        """The account may have no (more) machine of a market."""
        return self.none(market, code=QUOTAS[market])

    def restore(self) -> None:
        """Everything is to be had again."""
        self.rules.clear()

    def refusal(self, market: str, zone: str, kind: str) -> str | None:
        """The error's code for one more machine."""
        if time.monotonic() < self._known_at:
            return PROFILE
        matching = (rule for rule in self.rules if rule.left <= 0 and rule.covers(market, zone, kind))
        return next((rule.code for rule in matching), None)

    def take(self, market: str, zone: str, kind: str) -> None:
        """Count a machine."""
        for rule in self.rules:
            if rule.covers(market, zone, kind):
                rule.left -= 1
