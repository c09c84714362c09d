"""The IAM policies of those who run Hearth: `caller` reads on a stack, `deployer` runs `hearth infra` for it.

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


class Who(StrEnum):
    """Whose policy it is."""

    CALLER = "caller"
    DEPLOYER = "deployer"
    DOCTOR = "doctor"


def policy(who: Who, *, pool: str, account: str, region: str, stack: str = "ec2") -> dict[str, Any]:
    """The policy for a stack of a pool, in its account and region: the `policies/<who>.json` of its folder, filled.

    Raises:
        RequestError: the pool, account or region is not one.
    """
    if (
        not POOL.fullmatch(pool)
        or not re.fullmatch(r"\d{12}", account)
        or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region)
    ):
        raise RequestError(
            f"There is no policy for pool {pool!r}, account {account!r}, region {region!r}: one of them is not one."
        )
    folder = "doctor" if who is Who.DOCTOR else _FOLDERS.get(stack, stack)
    text = (_STACKS / folder / "policies" / f"{who}.json").read_text()
    for name, value in {"pool": pool, "account": account, "region": region, "partition": partition(region)}.items():
        text = text.replace("{{" + name + "}}", value)
    filled: dict[str, Any] = json.loads(text)
    return filled
