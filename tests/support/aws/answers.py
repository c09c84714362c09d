"""Whether what the front itself answers is what AWS's own models say: names and types of botocore's output shapes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from tests.support.aws.shapes import operation
from tests.support.aws.wire import Answer, Call, Tree

_JSON, _FORMS = {"json"}, {"query", "ec2"}


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
