"""The IAM policies of Hearth's users: `caller` reads documents, `deployer` deploys stacks, `baker` bakes images.

`doctor` is needed by `hearth infra doctor` besides the deployer's policy: it creates nothing but a change set.
"""

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
    """The name of a policy."""

    CALLER = "caller"
    DEPLOYER = "deployer"
    DOCTOR = "doctor"
    BAKER = "baker"


def policy(who: PolicyName, *, pool: str, account: str, region: str, stack: str = "ec2") -> dict[str, Any]:
    """Return a policy for a pool's stack: the `policies/<who>.json` of its folder with account and region filled in.

    Raises:
        RequestError: the pool, account or region is not valid, or the stack has no such policy.
    """
    if (
        not POOL.fullmatch(pool)
        or not re.fullmatch(r"\d{12}", account)
        or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region)
    ):
        raise RequestError(
            f"No policy was made: the pool {pool!r}, the account {account!r} or the region {region!r} is not valid. "
            "Correct it."
        )
    file = _file(who, stack)
    if not file.exists():
        raise RequestError(f"The {stack} stack has no {who} policy, because no image is baked for it. Use ec2.")
    text = file.read_text()
    for name, value in {"pool": pool, "account": account, "region": region, "partition": partition(region)}.items():
        text = text.replace("{{" + name + "}}", value)
    filled: dict[str, Any] = json.loads(text)
    return filled


def policy_names(stack: str) -> tuple[PolicyName, ...]:
    """Return the names of a stack's policies."""
    return tuple(who for who in PolicyName if _file(who, stack).exists())


def _file(who: PolicyName, stack: str) -> Path:
    folder = "doctor" if who is PolicyName.DOCTOR else _FOLDERS.get(stack, stack)
    return _STACKS / folder / "policies" / f"{who}.json"
