"""A stack's resources as CloudFormation sees them: with parameters, conditions and substitutions resolved."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from infra_scripts.iam.rendered import parse
from tests.support.aws.wire import REGION, Call, Tree, tree

_PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": None,
}


@dataclass(frozen=True)
class Resource:
    """A resource of a template, resolved; what only its creation tells is its logical id."""

    id: str
    type: str
    properties: Tree


@dataclass(frozen=True)
class Asked:
    """What CreateStack or UpdateStack asks for."""

    name: str
    tagged: bool
    resources: tuple[Resource, ...]
    parameters: dict[str, tuple[str, Any]]
    """Type and value by name."""


def asked(call: Call) -> Asked:
    """Read a request with a TemplateBody."""
    sent = tree(call.parameters)
    template = _parsed(sent["TemplateBody"])
    given = {each["ParameterKey"]: each.get("ParameterValue") for each in _members(sent, "Parameters")}
    declared: Tree = template.get("Parameters", {})
    values = {name: given.get(name, about.get("Default", "")) for name, about in declared.items()}
    resolver = _Resolver({**_PSEUDO, "AWS::StackName": sent["StackName"], **values}, template.get("Conditions", {}))
    resources = tuple(
        Resource(name, about["Type"], resolver.resolve(about.get("Properties", {})))
        for name, about in template.get("Resources", {}).items()
        if "Condition" not in about or resolver.holds({"Condition": about["Condition"]})
    )
    typed = {name: (about.get("Type", "String"), values[name]) for name, about in declared.items()}
    return Asked(sent["StackName"], bool(_members(sent, "Tags")), resources, typed)


def _parsed(text: str) -> Tree:
    try:
        return parse(text) or {}
    except yaml.YAMLError:  # moto refuses it
        return {}


def _members(sent: Tree, name: str) -> list[Tree]:
    listed = sent.get(name, {})
    found: list[Tree] = listed.get("member", []) if isinstance(listed, dict) else listed
    return found


class _Resolver:
    def __init__(self, values: Tree, conditions: Tree) -> None:
        self._values = values
        self._conditions = conditions

    def resolve(self, value: Any) -> Any:
        """Return a value without intrinsic functions, as far as they can be known before anything is made."""
        if isinstance(value, list):
            return [found for each in value if (found := self.resolve(each)) is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (function := self._functions().get(next(iter(value)))):
            return function(next(iter(value.values())))
        resolved = {key: self.resolve(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not None}

    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "Ref": lambda name: self._values.get(name, name),
            "Fn::If": lambda parts: self.resolve(parts[1 if self.holds({"Condition": parts[0]}) else 2]),
            "Fn::Sub": self._substituted,
            "Fn::Join": self._joined,
            "Fn::GetAtt": lambda path: ".".join(path) if isinstance(path, list) else path,
        }

    def _joined(self, argument: Any) -> Any:
        parts = self.resolve(argument[1])
        return argument[0].join(map(str, parts)) if isinstance(parts, list) else parts

    def _substituted(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        known = {**self._values, **{key: self.resolve(each) for key, each in own.items()}}
        return re.sub(r"\$\{(?!!)([^}]+)\}", lambda found: str(known.get(found[1], found[1])), text)

    def holds(self, condition: Any) -> bool:
        """Evaluate a condition."""
        ((name, argument),) = condition.items()
        match name:
            case "Condition":
                return self.holds(self._conditions[argument])
            case "Fn::Equals":
                return str(self.resolve(argument[0])) == str(self.resolve(argument[1]))
            case "Fn::Not":
                return not self.holds(argument[0])
            case "Fn::And":
                return all(map(self.holds, argument))
            case "Fn::Or":
                return any(map(self.holds, argument))
        raise ValueError(f"unknown condition {name}")
