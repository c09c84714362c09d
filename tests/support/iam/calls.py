"""What IAM is asked for a call that the harness recorded: the action, the resource and the condition keys.

After the Service Authorization Reference, and for CreateFleet after EC2's guide (EC2 Fleet prerequisites): launching is
asked for whoever creates the fleet, resource by resource, tags and role included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from infra_scripts.iam.need import Permission
from tests.support.aws.wire import REGION, Call, tree

ACCOUNT = "123456789012"
_IN = {"aws:RequestedRegion": (REGION,)}
_SERVICES = {"monitoring": "cloudwatch"}
_OF_INSTANCES = {"GetConsoleOutput", "ModifyInstanceAttribute", "StartInstances", "StopInstances", "TerminateInstances"}
# Of the callers' own identity: anybody may.
FREE = {"sts:GetCallerIdentity"}
USER = "AIDAHEARTH"


def arn(service: str, tail: str, *, account: str = ACCOUNT, region: str = REGION) -> str:
    return f"arn:aws:{service}:{region}:{account}:{tail}"


def permissions(call: Call, pool: str, owners: Mapping[str, str]) -> list[Permission]:
    """Return what IAM is asked for a call.

    Args:
        call: as the client sent it.
        pool: whose launch template and security group there are.
        owners: the pool that each machine is tagged with.
    """
    service = _SERVICES.get(call.service, call.service)
    if f"{service}:{call.action}" in FREE:
        return []
    asking = {"ec2": _ec2, "s3": _s3, "sagemaker": _sagemaker}.get(service)
    if asking is not None:
        return list(asking(call, pool, owners))
    resource, context = _RESOURCES[service](call)
    actions = (
        ["ssm:StartSession", "ssmmessages:OpenDataChannel"]
        if call.action == "StartSession"
        else [f"{service}:{call.action}"]
    )
    found = [Permission(actions[0], each, {**_IN, **context}) for each in resource]
    session = arn("ssm", f"session/{USER}-0123456789abcdef0")
    return [*found, *(Permission(action, session, {"aws:userid": (USER,)}) for action in actions[1:])]


def _ec2(call: Call, pool: str, owners: Mapping[str, str]) -> Iterator[Permission]:
    asked = tree(call.asked)
    if call.action == "CreateFleet":
        yield from _fleet(asked, pool)
    elif call.action in _OF_INSTANCES:
        named = asked.get("InstanceId", [])
        for machine in [named] if isinstance(named, str) else named:
            tags = {"aws:ResourceTag/hearth:pool": (owners.get(machine, pool),)}
            yield Permission(f"ec2:{call.action}", arn("ec2", f"instance/{machine}"), {**_IN, **tags})
    elif call.action == "DeleteVolume":
        tags = {"aws:ResourceTag/hearth:pool": (pool,)}
        yield Permission("ec2:DeleteVolume", arn("ec2", f"volume/{asked['VolumeId']}"), {**_IN, **tags})
    else:
        yield Permission(f"ec2:{call.action}", "*", _IN)


def _fleet(asked: Mapping[str, object], pool: str) -> Iterator[Permission]:
    (config,) = asked["LaunchTemplateConfigs"]  # type: ignore[misc]  # a list of one
    template = arn("ec2", f"launch-template/{config['LaunchTemplateSpecification']['LaunchTemplateId']}")
    spot = "SpotOptions" in asked
    of_the_pool = {"aws:ResourceTag/hearth:pool": (pool,)}
    from_it = {"ec2:LaunchTemplate": (template,)}
    images = {arn("ec2", f"image/{place['ImageId']}", account="") for place in config["Overrides"]}
    subnets = {arn("ec2", f"subnet/{place['SubnetId']}") for place in config["Overrides"]}
    made = [arn("ec2", f"{kind}/*") for kind in ("instance", "volume", "network-interface")]
    yield from (
        Permission("ec2:CreateFleet", each, _IN) for each in (arn("ec2", "fleet/*"), template, *images, *subnets)
    )
    yield from (
        Permission("ec2:RunInstances", each, {**_IN, **of_the_pool, **from_it})
        for each in (template, arn("ec2", "security-group/sg-1"))
    )
    yield from (Permission("ec2:RunInstances", each, {**_IN, **from_it}) for each in (*made, *images, *subnets))
    if spot:  # which knows no template: the reference lists no such key for it
        yield Permission("ec2:RunInstances", arn("ec2", "spot-instances-request/*"), _IN)
    for each in made[:2]:
        yield Permission("ec2:CreateTags", each, {**_IN, "ec2:CreateAction": ("RunInstances",)})
    role = arn("iam", f"role/hearth-{pool}-{REGION}", region="")
    yield Permission("iam:PassRole", role, {"iam:PassedToService": ("ec2.amazonaws.com",)})


def _s3(call: Call, _pool: str, _owners: Mapping[str, str]) -> Iterator[Permission]:
    bucket, _, key = urlsplit(call.path).path.lstrip("/").partition("/")
    verb = {"GET": "Get", "HEAD": "Get", "PUT": "Put", "POST": "Put", "DELETE": "Delete"}[call.method]
    yield (
        Permission(f"s3:{verb}Object", f"arn:aws:s3:::{bucket}/{key}")
        if key
        else Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}")
    )


def _sagemaker(call: Call, _pool: str, _owners: Mapping[str, str]) -> Iterator[Permission]:
    if invoked := re.fullmatch(r"/endpoints/([^/]+)/.*", urlsplit(call.path).path):
        yield Permission(f"sagemaker:{call.action}", arn("sagemaker", f"endpoint/{invoked[1]}"), _IN)
        if component := call.headers.get("x-amzn-sagemaker-inference-component"):
            yield Permission(f"sagemaker:{call.action}", arn("sagemaker", f"inference-component/{component}"), _IN)
        return
    name = call.asked.get("EndpointName")
    tail = f"endpoint/{name}" if name else f"inference-component/{call.asked['InferenceComponentName']}"
    yield Permission(f"sagemaker:{call.action}", arn("sagemaker", tail), _IN)


Found = tuple[list[str], dict[str, tuple[str, ...]]]


def _dynamodb(call: Call) -> Found:
    index = f"/index/{call.asked['IndexName']}" if "IndexName" in call.asked else ""
    return [arn("dynamodb", f"table/{call.asked['TableName']}{index}")], {}


def _ssm(call: Call) -> Found:
    asked = call.asked
    if call.action == "StartSession":
        document = arn("ssm", f"document/{asked['DocumentName']}", account="")
        return [arn("ec2", f"instance/{asked['Target']}"), document], {"ssm:resourceTag/hearth:pool": ("default",)}
    if "SessionId" in asked:
        return [arn("ssm", f"session/{USER}-0123456789abcdef0")], {"aws:userid": (USER,)}
    return [arn("ssm", f"parameter{asked['Name']}")], {}


def _ecs(call: Call) -> Found:
    asked = call.asked
    if "services" in asked or "service" in asked:
        names = asked.get("services") or [asked["service"]]
        return [arn("ecs", f"service/{asked['cluster']}/{name}") for name in names], {}
    return [arn("ecs", f"cluster/{name}") for name in asked["clusters"]], {}


def _stack(call: Call) -> Found:
    return [arn("cloudformation", f"stack/{call.asked['StackName']}/01234567")], {}


_RESOURCES: Mapping[str, Callable[[Call], Found]] = {
    "cloudformation": _stack,
    "cloudwatch": lambda call: (["*"], {"cloudwatch:namespace": (str(call.asked["Namespace"]),)}),
    "dynamodb": _dynamodb,
    "ecs": _ecs,
    "elasticloadbalancing": lambda _: (["*"], {}),
    "logs": lambda call: ([arn("logs", f"log-group:{call.asked['logGroupName']}:*")], {}),
    "ssm": _ssm,
}
