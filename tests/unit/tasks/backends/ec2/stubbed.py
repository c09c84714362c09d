"""AWS's real clients with scripted answers, and a pool of one stack on them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.stub import Stubber

from tasks.aws.client import Aws
from tasks.backends.ec2.fleet import Offer, affordable, offers
from tasks.backends.ec2.instances import machine as described
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.outputs import Stack
from tasks.backends.ec2.pool import Pool
from tasks.costs.price_book import shipped_book
from tasks.leasing.launch_lock import LaunchLocks
from tasks.leasing.lease import Lease
from tasks.leasing.leases import Records
from tasks.leasing.table import Table
from tasks.settings.ec2 import Access, Ec2Settings
from tasks.settings.settings import Settings

ID = "i-0123456789abcdef0"
STACK = Stack(
    pool="default",
    launch_template="lt-0123456789abcdef0",
    launch_template_version="3",
    table="hearth-default",
    log_group="hearth-default",
    ami_parameter="/hearth/default/ami",
    subnets=("subnet-a", "subnet-b"),
    access=Access.PRIVATE,
    port=11434,
    slots=8,
    config="0123456789ab",
)


def offered(nonce: str = "default 0", stack: Stack = STACK, image: str = "ami-1", **settings: Any) -> list[Offer]:
    chosen = Ec2Settings(**{"types": ("g4dn.xlarge", "g5.xlarge"), **settings})
    return list(offers(chosen, stack, stack.subnets, image, nonce, affordable(chosen, "us-east-1", shipped_book())))


def places(offer: Offer) -> list[dict[str, Any]]:
    (config,) = offer.request["LaunchTemplateConfigs"]
    return config["Overrides"]


class Stubbed(Aws):
    """AWS's real clients with scripted answers: what is asked is held against botocore's models."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        self.stubs: dict[int, Stubber] = {}

    def answers(self, service: str, call: str, answer: dict[str, Any], asked: dict[str, Any] | None = None) -> None:
        """The next call of a client, such as `ec2_at_once`; with what parameters, if that is given."""
        self._stub(service).add_response(call, answer, asked)

    def refuses(self, service: str, call: str, code: str, message: str = "No.") -> None:
        """The next call of a client fails."""
        self._stub(service).add_client_error(call, code, message)

    def _stub(self, service: str) -> Stubber:
        client = getattr(self, service)
        if id(client) not in self.stubs:
            self.stubs[id(client)] = Stubber(client)
            self.stubs[id(client)].activate()
        return self.stubs[id(client)]


def instance(**known: Any) -> dict[str, Any]:
    return {
        "InstanceId": ID,
        "InstanceType": "g4dn.xlarge",
        "State": {"Name": "running"},
        "LaunchTime": datetime(2026, 11, 23, 10, tzinfo=UTC),
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "PrivateIpAddress": "10.0.0.1",
        "Tags": [{"Key": "hearth:pool", "Value": "default"}, {"Key": "hearth:config", "Value": STACK.config}],
        **known,
    }


def page(*instances: dict[str, Any]) -> dict[str, Any]:
    return {"Reservations": [{"Instances": [each]} for each in instances]}


def pool_of(aws: Aws, **settings: Any) -> Pool:
    table = Table(aws, STACK.table)
    stack = Stack(**{**vars(STACK), **settings.pop("stack", {})})
    return Pool(aws, stack, Records(table), LaunchLocks(table), Settings(ec2=settings))


async def seen(aws: Stubbed, **known: Any) -> Machine:
    aws.answers("ec2", "describe_instances", page(instance(**known)), {"InstanceIds": [ID]})
    found = await described(aws, ID)
    assert found is not None
    return found


LEASE = Lease("paper on desk", 2, 2e9, "abc")
