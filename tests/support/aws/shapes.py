"""Whether requests and answers are what AWS's own models say: botocore's shapes, validator, patterns and bounds.

Requests of REST services are left to botocore's validator in the client; their forms have no patterns that matter here.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
import regex  # Python's own knows no \p{L}, which AWS's patterns are full of
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

from tests.support.aws.wire import Answer, Call, Tree, tree

_NAMES = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
}
_JSON, _FORMS = {"json"}, {"query", "ec2"}

# Of AWS's API references, where its models say nothing: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_<operation>.
GROUP_TEXT = r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}"
_TEMPLATE_NAME = r"[a-zA-Z0-9().\-/_]{3,128}"
_DOCUMENTED = {
    ("CreateSecurityGroup", "GroupDescription"): GROUP_TEXT,
    ("CreateSecurityGroup", "GroupName"): GROUP_TEXT,
    ("CreateLaunchTemplate", "LaunchTemplateName"): _TEMPLATE_NAME,
    ("CreateTags", r"Tag.\d+.Key"): r"(?!aws:).{1,128}",
    ("CreateTags", r"Tag.\d+.Value"): r".{0,256}",
}


@cache
def operation(service: str, action: str) -> OperationModel | None:
    """Return the model of an operation by what a request is signed for; None for what botocore does not know."""
    session = botocore.session.get_session()
    names = [_NAMES.get(service, service)]
    if service == "autoscaling":
        names.append("application-autoscaling")
    for name in names:
        with suppress(Exception):
            return session.get_service_model(name).operation_model(action)
    return None


def misfits_of_request(call: Call) -> list[str]:
    """Return what AWS would refuse in a request, whatever is deployed."""
    model = operation(call.service, call.action)
    if model is None or model.input_shape is None:
        return []
    if call.headers.get("x-amz-target"):
        sent: Any = call.asked
    elif call.form:
        dropped = {key: value for key, value in call.asked.items() if key not in {"Action", "Version"}}
        sent = _Form(model.service_model.metadata["protocol"] == "ec2").read(model.input_shape, tree(dropped))
    else:
        return []
    report = ParamValidator().validate(sent, model.input_shape)
    found = [*report.generate_report().splitlines(), *_bounds(model.input_shape, sent, model.name)]
    if call.service == "ec2":  # it has words of its own for an unknown instance type, and new ones before the model has
        found = [each for each in found if " is none of " not in each]
    return [*found, *_documented(call)]


def _documented(call: Call) -> Iterator[str]:
    for (action, name), pattern in _DOCUMENTED.items():
        for key, value in call.asked.items() if action == call.action else ():
            if regex.fullmatch(name, key) and not _matches(pattern, value):
                yield f"{action}.{key}: {value!r} does not match {pattern}"


def _bounds(shape: Shape, value: Any, at: str) -> Iterator[str]:
    """Patterns, most lengths and enumerations, which botocore's validator leaves to AWS."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name in value.keys() & shape.members.keys():
            yield from _bounds(shape.members[name], value[name], f"{at}.{name}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for each in value:
            yield from _bounds(shape.member, each, at)
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for key, each in value.items():
            yield from _bounds(shape.key, key, at)
            yield from _bounds(shape.value, each, at)
    elif isinstance(value, str):
        pattern, most = shape.metadata.get("pattern"), shape.metadata.get("max")
        allowed = getattr(shape, "enum", [])
        if pattern and not _matches(pattern, value):
            yield f"{at}: {value!r} does not match {pattern}"
        if most is not None and len(value) > most:
            yield f"{at}: {len(value)} characters, of {most} at the most"
        if allowed and value not in allowed:
            yield f"{at}: {value!r} is none of {', '.join(allowed[:8])}"


@cache
def _compiled(pattern: str) -> Any:
    # Surrogates are how Java writes what is beyond 16 bits, and \p{Print} is Java's name of it.
    written = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF").replace(
        r"\p{Print}", r"[\x20-\x7e]"
    )
    return regex.compile(written)


def _matches(pattern: str, value: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


class _Form:
    """Reads the query protocol's parameters, and EC2's dialect of it, into what a client was given."""

    def __init__(self, ec2: bool) -> None:
        self._ec2 = ec2

    def read(self, shape: Shape, value: Any) -> Any:
        """Return the value of a shape; names that the shape does not know stay, for the validator to find."""
        if isinstance(shape, StructureShape) and isinstance(value, dict):
            known = {self._name(name, member): name for name, member in shape.members.items()}
            return {
                known.get(key, key): self.read(shape.members[known[key]], each) if key in known else each
                for key, each in value.items()
            }
        if isinstance(shape, ListShape):
            return [self.read(shape.member, each) for each in self._items(shape, value)]
        if isinstance(shape, MapShape):
            entries = value if isinstance(value, list) else value.get("entry", [])
            return {str(each["key"]): self.read(shape.value, each["value"]) for each in entries}
        return _scalar(shape, value)

    def _name(self, name: str, member: Shape) -> str:
        serialization = member.serialization
        if self._ec2:
            sent = serialization.get("queryName") or serialization.get("name", name)
            return str(sent[0].upper() + sent[1:])
        if isinstance(member, ListShape) and serialization.get("flattened"):
            return str(member.member.serialization.get("name", serialization.get("name", name)))
        return str(serialization.get("name", name))

    def _items(self, shape: ListShape, value: Any) -> list[Any]:
        if isinstance(value, dict):
            value = value.get(shape.member.serialization.get("name", "member"), value.get("member", []))
        return value if isinstance(value, list) else []


def _scalar(shape: Shape, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match shape.type_name:
        case "integer" | "long":
            return int(value) if value.lstrip("-").isdigit() else value
        case "boolean":
            return {"true": True, "false": False}.get(value.lower(), value)
        case "float" | "double":
            return float(value)
    return value


def misfits_of_answer(call: Call, answer: Answer) -> list[str]:
    """Return what of a successful answer is not as AWS's model has it: unknown names, and values of another type."""
    model = operation(call.service, call.action)
    if model is None or model.output_shape is None or not answer.ok:
        return []
    protocol = model.service_model.metadata["protocol"]
    if protocol in _JSON:
        return list(_json_misfits(model.output_shape, json.loads(answer.body or b"{}"), model.name))
    if protocol not in _FORMS:
        return []
    root = answer.xml()
    wrapper = model.output_shape.serialization.get("resultWrapper")
    if wrapper:
        found = root.find(wrapper)
        return (
            [f"{model.name} has no {wrapper}"]
            if found is None
            else list(_misfits(model.output_shape, found, model.name))
        )
    ignored = {"requestId", "RequestId", "ResponseMetadata"}
    for child in [child for child in root if child.tag in ignored]:
        root.remove(child)
    return list(_misfits(model.output_shape, root, model.name))


def _json_misfits(shape: Shape, value: Any, at: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is no structure"
            return
        known = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        for name, each in value.items():
            if name not in known:
                yield f"{at} has no {name}"
            elif each is not None:
                yield from _json_misfits(known[name], each, f"{at}.{name}")
    elif isinstance(shape, ListShape):
        for each in value:
            yield from _json_misfits(shape.member, each, at)
    elif isinstance(shape, MapShape):
        for each in value.values():
            yield from _json_misfits(shape.value, each, at)
    elif not isinstance(value, _TYPES.get(shape.type_name, str)):
        yield f"{at}: {value!r} is no {shape.type_name}"


_TYPES: dict[str, Any] = {
    "integer": int,
    "long": int,
    "boolean": bool,
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}


def _misfits(shape: Shape, element: ET.Element, at: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        known: Tree = {}
        for name, member in shape.members.items():
            # A flattened list's elements stand where the list would.
            flat = isinstance(member, ListShape) and member.serialization.get("flattened")
            inner = member.member if flat else member
            known[member.serialization.get("name") or inner.serialization.get("name", name)] = inner
        for child in element:
            if child.tag not in known:
                yield f"{at} has no {child.tag}"
            else:
                yield from _misfits(known[child.tag], child, f"{at}.{child.tag}")
    elif isinstance(shape, ListShape):
        item = shape.member.serialization.get("name", "member")
        for child in element:
            if child.tag != item:
                yield f"{at}: its elements are {item}, not {child.tag}"
            else:
                yield from _misfits(shape.member, child, at)
    elif not isinstance(shape, MapShape):
        yield from _text_misfits(shape, element, at)


def _text_misfits(shape: Shape, element: ET.Element, at: str) -> Iterator[str]:
    text = element.text or ""
    try:
        match shape.type_name:
            case "integer" | "long":
                int(text)
            case "float" | "double":
                float(text)
            case "boolean":
                assert text in {"true", "false"}
            case "timestamp":
                datetime.fromisoformat(text)
        assert not len(element), "no text"
    except (ValueError, AssertionError):
        yield f"{at}: {text!r} is no {shape.type_name}"
