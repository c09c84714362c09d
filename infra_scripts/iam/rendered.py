"""A rendered CloudFormation template: values filled in, conditions evaluated, resources with names and ARNs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from infra_scripts.common.names import partition
from infra_scripts.iam.kinds import KINDS

Value = Any
"""A value of JSON or YAML."""
_NOTHING = object()
_SUFFIX = "1A2B3C4D5E6F"
"""A suffix of the length that CloudFormation adds to the names that it chooses."""


@dataclass(frozen=True)
class Place:
    """The account, region and name of a stack."""

    account: str
    region: str
    stack: str

    @property
    def pseudo(self) -> dict[str, str]:
        """CloudFormation's pseudo parameters."""
        china = self.region.startswith("cn-")
        return {
            "AWS::AccountId": self.account,
            "AWS::Partition": partition(self.region),
            "AWS::Region": self.region,
            "AWS::StackName": self.stack,
            "AWS::URLSuffix": "amazonaws.com.cn" if china else "amazonaws.com",
        }

    def arn(self, tail: str) -> str:
        """Return an ARN from its part after the partition, with {region} and {account} as placeholders."""
        return f"arn:{partition(self.region)}:" + tail.format(region=self.region, account=self.account)


@dataclass(frozen=True)
class Resource:
    """A resource of a stack.

    Attributes:
        type: type, such as AWS::EC2::SecurityGroup.
        arns: ARNs in IAM; several if it is part of several resources, like the policy of several roles.
    """

    logical: str
    type: str
    properties: Mapping[str, Any]
    arns: tuple[str, ...]


def parse(template: str) -> dict[str, Any]:
    """Parse a template, and expand the short forms of functions."""
    found: dict[str, Any] = yaml.load(template, Loader=_Loader)  # noqa: S506 - a SafeLoader that knows !Ref and others
    return found


def render(template: str, parameters: Mapping[str, str], place: Place) -> tuple[Resource, ...]:
    """Return the resources of a template with these parameters; missing ones have their default."""
    renderer = _Renderer(parse(template), parameters, place)
    return tuple(renderer.resource(logical) for logical in renderer.logical())


class _Renderer:
    def __init__(self, parsed: Mapping[str, Any], parameters: Mapping[str, str], place: Place) -> None:
        declared: Mapping[str, Any] = parsed.get("Parameters", {})
        defaults = {name: str(entry["Default"]) for name, entry in declared.items() if "Default" in entry}
        self._kinds = {name: str(entry["Type"]) for name, entry in declared.items()}
        self._values = {**defaults, **parameters, **place.pseudo}
        self._conditions: Mapping[str, Any] = parsed.get("Conditions", {})
        self._resources: Mapping[str, Any] = parsed["Resources"]
        self._place = place

    def logical(self) -> list[str]:
        return [
            name
            for name, entry in self._resources.items()
            if "Condition" not in entry or self._holds({"Condition": entry["Condition"]})
        ]

    def resource(self, logical: str) -> Resource:
        entry = self._resources[logical]
        properties: Mapping[str, Any] = self._filled(entry.get("Properties", {}))
        return Resource(logical, entry["Type"], properties, self._arns(logical))

    def _name(self, logical: str) -> str:
        """Return the physical name: the resource's own, or one like CloudFormation would choose."""
        entry = self._resources[logical]
        kind = KINDS[entry["Type"]]
        given = entry.get("Properties", {}).get(kind.named) if kind.named else None
        if given is not None:
            return str(self._filled(given))
        if kind.example:
            return kind.example
        chosen = f"{self._place.stack}-{logical}"[: kind.longest - len(_SUFFIX) - 1] + f"-{_SUFFIX}"
        return chosen.lower() if kind.lower else chosen

    def _arns(self, logical: str) -> tuple[str, ...]:
        entry = self._resources[logical]
        kind, properties = KINDS[entry["Type"]], entry.get("Properties", {})
        if kind.of is None:
            of = properties.get(kind.within)
            within = self._filled(of) if of is not None else "default"
            return (self._place.arn(kind.arn.replace("{name}", self._name(logical)).replace("{within}", str(within))),)
        filled = self._filled(properties[kind.of])
        found = [
            one if one.startswith("arn:") else self._place.arn(kind.arn.replace("{name}", one))
            for one in (filled if isinstance(filled, list) else [filled])
        ]
        return tuple(f"{one.replace(*kind.beneath)}/{_SUFFIX.lower()}" if kind.beneath else one for one in found)

    def _filled(self, value: Value) -> Value:
        if isinstance(value, list):
            return [found for entry in value if (found := self._filled(entry)) is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function in _FUNCTIONS:
                return _FUNCTIONS[function](self, argument)
        return {key: found for key, entry in value.items() if (found := self._filled(entry)) is not _NOTHING}

    def _ref(self, name: str) -> Value:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in self._resources:
            by_arn = KINDS[self._resources[name]["Type"]].ref_is_arn
            return self._arns(name)[0] if by_arn else self._name(name)
        value = self._values[name]
        kind = self._kinds.get(name, "")
        return value.split(",") if kind == "CommaDelimitedList" or kind.startswith("List<") else value

    def _attribute(self, argument: Value) -> str:
        logical, _, attribute = (argument if isinstance(argument, str) else ".".join(argument)).partition(".")
        if attribute.endswith("Arn") or attribute == "Arn":
            return self._arns(logical)[0]
        return self._name(logical) if attribute.endswith(("Name", "Id")) else f"{self._name(logical)}.{attribute}"

    def _sub(self, argument: Value) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument
        values = {name: self._filled(entry) for name, entry in local.items()}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name in values:
                return str(values[name])
            return str(self._attribute(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^!}]+)\}", value, text).replace("${!", "${")

    def _if(self, argument: Value) -> Value:
        condition, yes, no = argument
        return self._filled(yes if self._holds({"Condition": condition}) else no)

    def _join(self, argument: Value) -> str:
        glue, parts = argument
        return str(glue).join(map(str, self._filled(parts)))

    def _holds(self, test: Value) -> bool:
        ((function, argument),) = test.items()
        match function:
            case "Condition":
                return self._holds(self._conditions[argument])
            case "Fn::Equals":
                one, other = (str(self._filled(side)) for side in argument)
                return one == other
            case "Fn::Not":
                return not self._holds(argument[0])
            case "Fn::And":
                return all(map(self._holds, argument))
            case "Fn::Or":
                return any(map(self._holds, argument))
        raise AssertionError(f"The condition function {function} is not supported.")


_FUNCTIONS: Mapping[str, Callable[[_Renderer, Value], Value]] = {
    "Ref": _Renderer._ref,
    "Fn::GetAtt": _Renderer._attribute,
    "Fn::Sub": _Renderer._sub,
    "Fn::If": _Renderer._if,
    "Fn::Join": _Renderer._join,
    "Fn::Base64": _Renderer._filled,
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml where PyYAML has it
    """YAML with CloudFormation's short forms."""


def _short(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there are no others
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short)


def strings(value: Value) -> list[str]:
    """Return all strings in a value."""
    if isinstance(value, str):
        return [value]
    entries = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [found for entry in entries for found in strings(entry)]
