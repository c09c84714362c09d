"""What names and numbers of stacks may be, and how AWS writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from infra_scripts.common.errors import RequestError

HOURS_A_MONTH = 730
POOL = re.compile(r"[a-z][a-z0-9-]{0,19}")
SHAPES = {
    "pool": POOL,
    "region": re.compile(r"[a-z]{2}(-[a-z]+)+-\d"),
    "model": re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}"),
    "ollama_version": re.compile(r"\d+\.\d+\.\d+"),
}


# Names are made of a pool's: these would make those of another pool's stack.
_TAKEN = re.compile(r"ecs|(ecs|sagemaker)-.*|.*-(lambda|lambda-dead|monitoring)")


def check_pool(pool: str) -> None:
    """See that a stack can be called after a pool.

    Raises:
        RequestError: AWS refuses such names, or another pool's stack would have the same.
    """
    if not POOL.fullmatch(pool):
        raise RequestError(f"The pool cannot be {pool!r}; it must match {POOL.pattern}.")
    if pool.endswith("-"):
        raise RequestError(
            f"The pool cannot be {pool!r}: load balancers and endpoints are called after it, and their names must not "
            "end in a hyphen. Choose another with HEARTH_EC2__POOL."
        )
    if _TAKEN.fullmatch(pool):
        raise RequestError(
            f"The pool cannot be {pool!r}: its stacks would have the names of another pool's. Choose one that neither "
            "begins with ecs or sagemaker nor ends in -lambda, -lambda-dead or -monitoring, with HEARTH_EC2__POOL."
        )


def check_shapes(stack: object, shapes: Mapping[str, re.Pattern[str]]) -> None:
    """See that the fields of a stack are such as they may be; some become lines of files that root's shell reads.

    Raises:
        RequestError: one is not.
    """
    for name, shape in shapes.items():
        value = getattr(stack, name)
        if not shape.fullmatch(value):
            raise RequestError(
                f"The pool's {name.replace('_', ' ')} cannot be {value!r}; it must match {shape.pattern}."
            )


def partition(region: str) -> str:
    """Of a region's ARNs."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
