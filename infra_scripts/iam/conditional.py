"""Actions in CloudFormation's schemas that a resource needs only with certain properties.

The list of a type's handler contains the actions that any resource of the type may need. An action that matches a
pattern is left out unless the resource has one of the properties, at any depth; without properties it is always left
out.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from infra_scripts.iam.rendered import Value

ONLY_WITH: Mapping[str, Mapping[str, list[str]]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())


def is_needed(action: str, kind: str, properties: Mapping[str, Any]) -> bool:
    """Whether a resource with these properties needs an action of its type."""
    for name in ("*", kind):
        for pattern, keys in ONLY_WITH.get(name, {}).items():
            if fnmatchcase(action, pattern) and not _has(properties, keys):
                return False
    return True


def _has(value: Value, keys: Iterable[str]) -> bool:
    if isinstance(value, Mapping):
        return any(key in value for key in keys) or any(_has(entry, keys) for entry in value.values())
    return isinstance(value, list) and any(_has(entry, keys) for entry in value)
