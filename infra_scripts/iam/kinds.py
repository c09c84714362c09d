"""The resource types of stacks, with the names and ARNs of their resources.

The forms of ARNs come from AWS's Service Authorization Reference
(https://docs.aws.amazon.com/service-authorization/latest/reference/).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Kind:
    """The naming of a type's resources.

    Attributes:
        arn: the part of the ARN after the partition, with {name} and {within} as placeholders.
        named: property with the resource's name; CloudFormation chooses a name without it.
        example: example of AWS's identifier, if the ARN does not contain the name.
        within: property whose value replaces {within}.
        of: property that names the parent resources, whose ARNs the resource shares.
        beneath: part of the parent's ARN, and the part that replaces it in the resource's own ARN.
        ref_is_arn: whether a Ref returns the ARN.
        longest: highest length of a name that CloudFormation chooses.
        lower: whether such a name is in lower case.
    """

    arn: str
    named: str = ""
    example: str = ""
    within: str = ""
    of: str | None = None
    beneath: tuple[str, str] | None = None
    ref_is_arn: bool = False
    longest: int = 63
    lower: bool = False


def _read(entry: dict[str, Any]) -> Kind:
    return Kind(**entry | ({"beneath": tuple(entry["beneath"])} if "beneath" in entry else {}))


KINDS = {name: _read(entry) for name, entry in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text()).items()}
"""The types that a stack may contain."""
