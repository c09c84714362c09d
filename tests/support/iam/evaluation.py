"""Whether IAM allows a request: identity policies, with wildcards, conditions and explicit denials.

After docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html and
reference_policies_elements_condition_operators.html. Boundaries, session and resource policies have no part in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from infra_scripts.iam.need import Permission

Policy = Mapping[str, Any]


def allows(policies: Iterable[Policy], asked: Permission) -> bool:
    """Say whether these policies together allow a request."""
    statements = [statement for policy in policies for statement in policy["Statement"]]
    fitting = {statement["Effect"] for statement in statements if _applies(statement, asked)}
    return fitting == {"Allow"}


def denied(policies: Iterable[Policy], asked: Iterable[Permission]) -> list[str]:
    """Return the requests that these policies together do not allow, a line each."""
    held = list(policies)
    return [
        f"{each.action} on {each.resource} {dict(each.context)}: {each.why}" for each in asked if not allows(held, each)
    ]


def _applies(statement: Mapping[str, Any], asked: Permission) -> bool:
    return (
        any(_like(pattern.lower(), asked.action.lower()) for pattern in _listed(statement["Action"]))
        and any(_on(pattern, asked) for pattern in _listed(statement["Resource"]))
        and all(
            _holds(operator, key, _listed(values), asked.context)
            for operator, tests in statement.get("Condition", {}).items()
            for key, values in tests.items()
        )
    )


def _on(pattern: str, asked: Permission) -> bool:
    """Say whether a resource of a policy has what is asked for; its variables are those of the request."""
    filled = re.sub(r"\$\{([^}]+)\}", lambda found: asked.context.get(found[1], ("\0",))[0], pattern)
    return pattern == "*" or _like(filled, asked.resource)


def _like(pattern: str, value: str) -> bool:
    """Compare with * and ? alone, which are all that IAM knows; a colon of an ARN is as good as any character."""
    return _regex(pattern).fullmatch(value) is not None


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    parts = ({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.compile("".join(parts), re.DOTALL)


def _equal(pattern: str, value: str) -> bool:
    return pattern == value


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _equal,
    "StringEquals": _equal,
    "StringLike": _like,
}


def _holds(operator: str, key: str, wanted: list[str], context: Mapping[str, tuple[str, ...]]) -> bool:
    """Say whether a condition holds; a key that the request has not fails all but those that say otherwise."""
    found = {name.lower(): values for name, values in context.items()}.get(key.lower())
    if operator == "Null":
        return (found is None) == (wanted == ["true"])
    quantifier, _, plain = operator.rpartition(":")
    plain, optional = plain.removesuffix("IfExists"), plain.endswith("IfExists")
    if found is None:
        return optional or quantifier == "ForAllValues"
    results = [any(_TESTS[plain](pattern, value) for pattern in wanted) for value in found]
    return all(results) if quantifier == "ForAllValues" else any(results)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
