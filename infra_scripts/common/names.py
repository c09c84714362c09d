"""Valid names of pools, regions and models, and parts of AWS's names."""

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
# With these names a pool's stack would have the name of another pool's.
_TAKEN = re.compile(r"ecs|(ecs|sagemaker)-.*|.*-(lambda|lambda-dead|monitoring)")


def check_pool(pool: str) -> None:
    """Check that stacks can be named after a pool.

    Raises:
        RequestError: AWS refuses such names, or another pool's stack would have the same name.
    """
    if not POOL.fullmatch(pool):
        raise RequestError(f"The pool name {pool!r} is not valid; it must match {POOL.pattern}. Set HEARTH_EC2__POOL.")
    if pool.endswith("-"):
        raise RequestError(
            f"The pool name {pool!r} is not valid: load balancers and endpoints are named after the pool, and their "
            "names must not end in a hyphen. Choose another with HEARTH_EC2__POOL."
        )
    if _TAKEN.fullmatch(pool):
        raise RequestError(
            f"The pool name {pool!r} is not valid: its stacks would have the names of another pool's. Choose a name "
            "that neither begins with ecs or sagemaker nor ends in -lambda, -lambda-dead or -monitoring, with "
            "HEARTH_EC2__POOL."
        )


def check_shapes(stack: object, shapes: Mapping[str, re.Pattern[str]]) -> None:
    """Check fields of a stack against patterns; some become lines of files that root's shell reads.

    Raises:
        RequestError: a field does not match.
    """
    for name, shape in shapes.items():
        value = getattr(stack, name)
        if not shape.fullmatch(value):
            raise RequestError(f"The {name.replace('_', ' ')} {value!r} is not valid; it must match {shape.pattern}.")


def partition(region: str) -> str:
    """Return the partition of a region's ARNs."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
