"""What AWS's wire looks like: calls, answers, errors, and the query protocol's parameters."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from starlette.datastructures import Headers

Tree = dict[str, Any]
REGION = "us-east-1"


@dataclass
class Call:
    """A request of a client.

    Attributes:
        parameters: EC2's and IAM's as flat as they are sent, the JSON of the JSON services; layers change them.
        asked: the parameters as the client sent them.
        pids: the process that asked and those it descends from, if it was found.
        outcome: `ok`, the error's code, or the name of what was done to it.
    """

    service: str
    action: str
    parameters: Tree
    method: str
    path: str
    headers: Headers
    body: bytes
    pids: tuple[int, ...] = ()
    at: float = field(default_factory=time.monotonic)
    outcome: str = "unanswered"
    asked: Tree = field(init=False)

    def __post_init__(self) -> None:
        self.asked = dict(self.parameters)

    @property
    def pid(self) -> int | None:
        """The process that asked."""
        return self.pids[0] if self.pids else None

    @property
    def form(self) -> bool:
        return "Action" in self.parameters and self.headers.get("x-amz-target") is None

    def listed(self, name: str) -> list[str]:
        """The values of InstanceId.1, InstanceId.2 and so on."""
        found = {int(key.rpartition(".")[2]): key for key in self.parameters if re.fullmatch(rf"{name}\.\d+", key)}
        return [self.parameters[found[number]] for number in sorted(found)]

    def without(self, *names: str) -> None:
        """Drop parameters that begin with these names."""
        for key in [key for key in self.parameters if key.partition(".")[0] in names]:
            del self.parameters[key]

    def replace(self, tree: Tree) -> None:
        """Send these parameters instead."""
        self.parameters = dict(flat(tree))

    @property
    def content(self) -> bytes:
        """The body as it goes on."""
        return urlencode(self.parameters).encode() if self.form else self.body


@dataclass
class Answer:
    """What AWS says.

    Attributes:
        simulated: whether the front made it, or moto did.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    simulated: bool = True

    @property
    def ok(self) -> bool:
        return self.status < 400

    def xml(self) -> ET.Element:
        """The body without its namespace."""
        return ET.fromstring(re.sub(rb' xmlns="[^"]*"', b"", self.body))

    def code(self) -> str:
        """The error's code."""
        found = re.search(rb'<Code>([^<]+)<|"__type": ?"([^"]+)"', self.body)
        return (found[1] or found[2]).decode().rpartition("#")[2] if found else str(self.status)


Proceed = Callable[[Call], Awaitable[Answer]]
Layer = Callable[[Call, Proceed], Awaitable[Answer]]


INVOCATIONS = {
    "invocations": "InvokeEndpoint",
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}


class DroppedError(Exception):
    """The connection breaks without an answer."""


def parse(method: str, path: str, query: str, headers: Headers, body: bytes) -> Call:
    """What a request asks of which service."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", headers.get("authorization", ""))
    service = scope[1] if scope else ""
    if target := headers.get("x-amz-target"):
        return Call(service, target.rpartition(".")[2], json.loads(body or b"{}"), method, path, headers, body)
    if "x-www-form-urlencoded" in headers.get("content-type", ""):
        parameters = dict(parse_qsl(body.decode(), keep_blank_values=True))
        return Call(service, parameters.get("Action", ""), parameters, method, path, headers, body)
    full = f"{path}?{query}" if query else path
    if service == "sagemaker" and (invoked := re.fullmatch(r"/endpoints/[^/]+/(.*invocations.*)", path)):
        return Call(service, INVOCATIONS[invoked[1]], {}, method, full, headers, body)
    return Call(service, method, dict(parse_qsl(query)), method, full, headers, body)


def tree(parameters: Mapping[str, Any]) -> Tree:
    """Nest flat parameters: numbered ones become lists."""
    nested: Tree = {}
    for key, value in parameters.items():
        *path, last = key.split(".")
        place = nested
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return {key: _listed(value) for key, value in nested.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(each) for key, each in value.items()}


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The opposite of tree."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flat(each, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        for number, each in enumerate(value, 1):
            yield from flat(each, f"{prefix}.{number}")
    else:
        yield prefix, value


def element(tag: str, value: Any) -> ET.Element:
    """Dictionaries nest, lists become items, the rest is text."""
    made = ET.Element(tag)
    if isinstance(value, dict):
        made.extend(element(key, each) for key, each in value.items() if each is not None)
    elif isinstance(value, list):
        made.extend(element("item", each) for each in value)
    else:
        made.text = str(value)
    return made


def xml_answer(root: ET.Element, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "text/xml;charset=UTF-8"}, ET.tostring(root, "utf-8", xml_declaration=True))


def error_answer(call: Call, code: str, message: str, status: int = 400) -> Answer:
    """An error in the form of the call's protocol."""
    if call.action.startswith("InvokeEndpoint"):
        body = json.dumps({"Message": message}).encode()
        return Answer(status, {"content-type": "application/json", "x-amzn-errortype": code}, body)
    if call.headers.get("x-amz-target"):
        body = json.dumps({"__type": code, "message": message}).encode()
        return Answer(status, {"content-type": "application/x-amz-json-1.1", "x-amzn-errortype": code}, body)
    fault = {"Code": code, "Message": message}
    if call.service == "ec2":
        return xml_answer(element("Response", {"Errors": {"Error": fault}, "RequestID": "simulated"}), status)
    if call.form:
        return xml_answer(element("ErrorResponse", {"Error": {"Type": "Sender", **fault}, "RequestId": "-"}), status)
    return xml_answer(element("Error", {**fault, "RequestId": "simulated"}), status)


def ec2_request(action: str, parameters: Tree) -> dict[str, Any]:
    """Arguments of an httpx call to EC2."""
    signature = f"AWS4-HMAC-SHA256 Credential=k/20260101/{REGION}/ec2/aws4_request, SignedHeaders=host, Signature=0"
    content = urlencode({"Action": action, "Version": "2016-11-15", **dict(flat(parameters))})
    kind = "application/x-www-form-urlencoded"
    return {"content": content, "headers": {"Authorization": signature, "Content-Type": kind}}


def ec2_answer(response: httpx.Response) -> ET.Element:
    """Its tree; an error is raised."""
    answer = Answer(response.status_code, {}, response.content)
    if not answer.ok:
        raise RuntimeError(f"moto answered {response.status_code}: {response.text[:300]}")
    return answer.xml()
