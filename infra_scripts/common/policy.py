"""The IAM policies of those who run Hearth: `caller` reads, `deployer` brings stacks up, `baker` bakes images.

`doctor` is what `hearth infra doctor` asks beyond the deployer's: it looks, and makes nothing but a change set.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra_scripts.common.errors import RequestError
from infra_scripts.common.names import POOL, partition

_STACKS = Path(__file__).parents[1]
_FOLDERS = {"lambda": "trigger"}  # no package can be called lambda


class PolicyName(StrEnum):
    """Whose policy it is."""

    CALLER = "caller"
    DEPLOYER = "deployer"
    DOCTOR = "doctor"
    BAKER = "baker"


def policy(who: PolicyName, *, pool: str, account: str, region: str, stack: str = "ec2") -> dict[str, Any]:
    """The policy for a stack of a pool, in its account and region: the `policies/<who>.json` of its folder, filled.

    Raises:
        RequestError: the pool, account or region is not one, or the stack has no such policy.
    """
    if (
        not POOL.fullmatch(pool)
        or not re.fullmatch(r"\d{12}", account)
        or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region)
    ):
        raise RequestError(
            f"There is no policy for pool {pool!r}, account {account!r}, region {region!r}: one of them is not one."
        )
    file = _file(who, stack)
    if not file.exists():
        raise RequestError(f"The stack {stack} has no policy for a {who}: nothing is baked for it.")
    text = file.read_text()
    for name, value in {"pool": pool, "account": account, "region": region, "partition": partition(region)}.items():
        text = text.replace("{{" + name + "}}", value)
    filled: dict[str, Any] = json.loads(text)
    return filled


def policy_names(stack: str) -> tuple[PolicyName, ...]:
    """Who has a policy for a stack."""
    return tuple(who for who in PolicyName if _file(who, stack).exists())


def _file(who: PolicyName, stack: str) -> Path:
    folder = "doctor" if who is PolicyName.DOCTOR else _FOLDERS.get(stack, stack)
    return _STACKS / folder / "policies" / f"{who}.json"
