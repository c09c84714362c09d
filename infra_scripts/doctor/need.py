"""What the deployer of a stack must be allowed to do, in the words of IAM's policy simulator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

# IAM's prefix of a service whose model botocore keeps under another name.
_MODELS = {"elasticloadbalancing": "elbv2"}


@dataclass(frozen=True)
class Need:
    """Actions on resources, under conditions.

    Attributes:
        context: what a request has that the conditions look at: key, type and values.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def entries(self) -> list[dict[str, Any]]:
        """The context as SimulatePrincipalPolicy takes it."""
        return [
            {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": list(values)}
            for key, kind, values in self.context
        ]


def needs_of(policies: Iterable[dict[str, Any]]) -> Iterator[Need]:
    """Return what policies allow as needs: a service's actions on that service's resources, one need for each.

    An action with a wildcard stands for all operations of that name; the simulator takes no wildcards in them
    (https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html).
    """
    for policy in policies:
        for statement in policy["Statement"]:
            if statement["Effect"] != "Allow":
                continue
            context = tuple(_context(statement.get("Condition", {})))
            by_service: dict[str, list[str]] = {}
            for action in _listed(statement["Action"]):
                service, _, name = action.partition(":")
                by_service.setdefault(service, []).extend(f"{service}:{each}" for each in _operations(service, name))
            for service, actions in by_service.items():
                found = _listed(statement["Resource"])
                own = tuple(each for each in found if each == "*" or each.split(":")[2] == service)
                yield Need(tuple(actions), own or tuple(found), context)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _operations(service: str, name: str) -> list[str]:
    if "*" not in name:
        return [name]
    return [each for each in _names(_MODELS.get(service, service)) if fnmatchcase(each, name)]


@cache
def _names(service: str) -> list[str]:
    import botocore.session

    return list(botocore.session.get_session().get_service_model(service).operation_names)


def _context(conditions: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What a request that meets the conditions has. Of several values that will do it has the first."""
    for operator, keys in conditions.items():
        *several, kind = operator.removesuffix("IfExists").split(":")
        if kind == "Null":
            continue
        for key, value in keys.items():
            values = [str(each).lower() if isinstance(each, bool) else str(each) for each in _listed(value)]
            if kind == "StringLike":
                values = [each.replace("*", "amazonaws.com") if each.endswith(".*") else each for each in values]
            base = {"Bool": "boolean"}.get(kind, "numeric" if kind.startswith("Numeric") else "string")
            yield key, f"{base}List" if several else base, tuple(values if several else values[:1])
