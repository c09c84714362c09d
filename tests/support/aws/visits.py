"""What tests do with a machine."""

from __future__ import annotations

import base64
import io

import httpx
from PIL import Image

from tests.support.aws.front import AwsFront
from tests.support.aws.launches import described
from tests.support.aws.machine import Machine
from tests.support.aws.machines import Machines
from tests.support.waiting import PATIENCE


def _pixel() -> str:
    picture = io.BytesIO()
    Image.new("L", (8, 8), 255).save(picture, "PNG")
    return base64.b64encode(picture.getvalue()).decode()


def serving(machines: Machines) -> Machine:
    """The only machine, once its server listens."""
    machine = machines.one()
    machines.wait(lambda: machine.serving)
    return machine


def ask(machine: Machine, timeout: float = PATIENCE) -> dict:
    """Have it read a page."""
    body = {"model": machine.plan.model, "prompt": "Read.", "images": [_pixel()], "stream": False}
    return httpx.post(f"{machine.url}/api/generate", json=body, timeout=timeout).raise_for_status().json()


def imds(machine: Machine, path: str) -> httpx.Response:
    """What its metadata service says."""
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = httpx.put(f"{machine.metadata.url}/latest/api/token", headers=lifetime, timeout=PATIENCE).text
    headers = {"X-aws-ec2-metadata-token": token}
    return httpx.get(f"{machine.metadata.url}/latest/meta-data/{path}", headers=headers, timeout=PATIENCE)


def tags(aws: AwsFront, machine: Machine) -> dict[str, str]:
    """As DescribeInstances tells them."""
    return {tag["Key"]: tag["Value"] for tag in described(aws, machine.id)[0]["Tags"]}


def of_instance(machines: Machines, name: str, *, serves: bool = True) -> Machine:
    """The machine of an instance, once its server listens, if it `serves`."""
    machines.wait(lambda: any(each.id == name for each in machines) and (machines[name].serving or not serves))
    return machines[name]
