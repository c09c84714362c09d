"""cfn-lint, for templates. It takes seconds to import, which only the workers that use it should spend."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def decode(template: str) -> tuple[Any, list[Any]]:
    """Return what cfn-lint reads in a template, and what it finds wrong with its form."""
    from cfnlint.decode import decode_str

    return decode_str(template)


@cache
def lint(template: str, *regions: str) -> list[Any]:
    """Return what cfn-lint finds wrong with a template in these regions."""
    from cfnlint.api import ManualArgs
    from cfnlint.api import lint as found

    return found(template, config=ManualArgs(regions=list(regions)))


def schema(kind: str) -> dict[str, Any]:
    """Return CloudFormation's schema of a type of resource."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    return PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema


def regions() -> list[str]:
    """Return the regions that cfn-lint knows."""
    from cfnlint.helpers import REGIONS

    return list(REGIONS)
