"""What whoever deploys a stack must be allowed: its need, computed from the template and from what AWS publishes.

CloudFormation acts with the rights of whoever asks it, so that the need is what its handlers ask for each resource.
`facts.json` holds what they ask, by type, and of which resources IAM then wants a right; tests/support/iam_facts.py
writes it from the schemas that AWS publishes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from infra_scripts.common.deployment import StackRequest
from infra_scripts.iam.conditional import is_needed
from infra_scripts.iam.rendered import Place, Resource, render, strings

_FACTS = Path(__file__).with_name("facts.json")
_STAND_IN = "0123456789abcdef0"
# In the Service Authorization Reference these may name a topic; a subscription is none.
_RESOURCELESS = {"sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"}
# AWS's guide of permissions for CloudWatch Logs: these are asked for a group itself, all others for what is in it.
_OF_THE_GROUP = {"logs:ListTagsForResource", "logs:TagResource", "logs:UntagResource"}
_MAKES = re.compile(r"(Create|Register|Run)(?!\w*Version$|Tags$)")
_TAGS = re.compile(r"Add|Create|Tag")
LINKED_SERVICES = {
    "AWS::ApplicationAutoScaling::ScalableTarget": {
        "ecs": "ecs.application-autoscaling.amazonaws.com",
        "sagemaker": "sagemaker.application-autoscaling.amazonaws.com",
    },
    "AWS::AutoScaling::AutoScalingGroup": {"": "autoscaling.amazonaws.com"},
    "AWS::ECS::CapacityProvider": {"": "ecs.amazonaws.com"},
    "AWS::ECS::Cluster": {"": "ecs.amazonaws.com"},
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"": "elasticloadbalancing.amazonaws.com"},
}
"""The service-linked roles that a resource's service acts with, by the namespace that it scales, if it has one."""
_PASSED_TO = {
    "AWS::AutoScaling::AutoScalingGroup": "ec2",
    "AWS::ECS::TaskDefinition": "ecs-tasks",
    "AWS::IAM::InstanceProfile": "ec2",
    "AWS::Lambda::Function": "lambda",
    "AWS::SageMaker::EndpointConfig": "sagemaker",
    "AWS::SageMaker::Model": "sagemaker",
    "AWS::Scheduler::Schedule": "scheduler",
}
_ON_THE_STACK = ("CreateStack", "DeleteStack", "DescribeStackEvents", "DescribeStacks", "TagResource", "UpdateStack")


@dataclass(frozen=True)
class Permission:
    """A right that somebody must have.

    Attributes:
        action: such as ec2:CreateTags.
        resource: the ARN that it is asked for; "*" where the action takes none.
        context: IAM's condition keys, as AWS fills them in for the request.
        why: what it is for.
    """

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    why: str = ""

    def __hash__(self) -> int:
        return hash((self.action, self.resource, tuple(sorted(self.context.items()))))


def required_permissions(request: StackRequest, place: Place) -> tuple[Permission, ...]:
    """What bringing a stack up, changing it and taking it down must be allowed."""
    resources, tags = render(request.template, request.parameters, place), request.tags
    wanted = [
        permission
        for resource in resources
        for action in facts()["types"][resource.type]
        if is_needed(action, resource.type, resource.properties)
        for permission in _of(action, resource, resources, tags, place)
    ]
    linked = [linked_role(service, place) for service in request.linked_services]
    return tuple(dict.fromkeys([*_of_the_stack(tags, place), *linked, *wanted]))


@cache
def facts() -> dict[str, Any]:
    """What AWS publishes: by type the actions that it needs, and by action the ARNs that are asked for."""
    found: dict[str, Any] = json.loads(_FACTS.read_text())
    return found


def service_linked_roles(resources: tuple[Resource, ...]) -> tuple[str, ...]:
    """The services whose service-linked roles must be there before these resources are made."""
    found = {
        service
        for resource in resources
        for namespace, service in LINKED_SERVICES.get(resource.type, {}).items()
        if namespace in {"", resource.properties.get("ServiceNamespace")}
    }
    return tuple(sorted(found))


def linked_role(service: str, place: Place) -> Permission:
    """The right to make the service-linked role of a service."""
    arn = place.arn(f"iam::{{account}}:role/aws-service-role/{service}/AWSServiceRoleFor")
    return Permission("iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": (service,)}, "service-linked roles")


def _of_the_stack(tags: Mapping[str, str], place: Place) -> Iterator[Permission]:
    arn = place.arn(f"cloudformation:{{region}}:{{account}}:stack/{place.stack}/{_STAND_IN}")
    for name in _ON_THE_STACK:
        yield Permission(f"cloudformation:{name}", arn, _context(place, name, tags), f"the stack {place.stack}")


def _of(
    action: str, resource: Resource, resources: tuple[Resource, ...], tags: Mapping[str, str], place: Place
) -> Iterator[Permission]:
    """The rights that one action of a resource's handlers takes."""
    why = f"{resource.logical} ({resource.type})"
    if action == "iam:CreateServiceLinkedRole":
        for service in service_linked_roles((resource,)):
            yield linked_role(service, place)
    elif action == "iam:PassRole":
        passed_to = _PASSED_TO.get(resource.type)
        for role in resources if passed_to else ():
            for principal in strings(role.properties) if role.type == "AWS::IAM::Role" else ():
                if principal.startswith(f"{passed_to}.amazonaws.com"):
                    yield Permission(action, role.arns[0], {"iam:PassedToService": (principal,)}, why)
    else:
        own = {**tags, **_tags(resource)}
        for arn in _arns(action, resource, resources, place):
            for context in _contexts(action, resource, own, resources, place):
                yield Permission(action, arn, context, why)


def _contexts(
    action: str, resource: Resource, tags: Mapping[str, str], resources: tuple[Resource, ...], place: Place
) -> Iterator[Mapping[str, tuple[str, ...]]]:
    """The circumstances in which an action is asked for: EC2's tags are set with what they are on, or later."""
    name = action.split(":")[1]
    context = _context(place, name, tags)
    if action == "ec2:CreateTags":
        made = f"Create{resource.type.rpartition('::')[2]}"
        yield {**_context(place, made, tags), "ec2:CreateAction": (made,)}
    if action == "ec2:RunInstances":
        template = next((each.arns[0] for each in resources if each.type == "AWS::EC2::LaunchTemplate"), "")
        context |= {"ec2:LaunchTemplate": (template,)} | {
            f"aws:ResourceTag/{key}": (value,) for key, value in tags.items()
        }
    yield context


def _context(place: Place, name: str, tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    told: dict[str, tuple[str, ...]] = {"aws:RequestedRegion": (place.region,)}
    if _MAKES.match(name) or ("Tag" in name and _TAGS.match(name)):
        told |= {f"aws:RequestTag/{key}": (value,) for key, value in tags.items()} | {"aws:TagKeys": tuple(tags)}
    if not _MAKES.match(name):
        told |= {f"aws:ResourceTag/{key}": (value,) for key, value in tags.items()}
    return told


def _arns(action: str, resource: Resource, resources: tuple[Resource, ...], place: Place) -> list[str]:
    """What an action on a resource is asked for: itself, and what else the action always is asked for."""
    forms = facts()["actions"].get(action, {})
    always, some = forms.get("always", []), forms.get("some", [])
    if action in _RESOURCELESS or not (always or some):
        return ["*"]
    found = {_kind(arn): arn for arn in resource.arns[:1] if _fits(arn, always + some)}
    names = {key: value for arn in resource.arns for form in always + some for key, value in _names(arn, form).items()}
    for form in always or ([] if found else some):
        if _kind(form) not in found:
            beside = next((arn for each in resources for arn in each.arns if _fits(arn, [form])), None)
            found[_kind(form)] = beside or _filled(form, place, names)
    own = [arn for arn in resource.arns[1:] if _kind(arn) in found]
    return [_asked(action, arn) for arn in (*found.values(), *own)]


def _asked(action: str, arn: str) -> str:
    """The ARN as IAM is asked: CloudWatch Logs says of most actions that they are on what is in a group."""
    return f"{arn}:*" if ":log-group:" in arn and action not in _OF_THE_GROUP else arn


def _kind(arn: str) -> str:
    """What an ARN is of: a table's stream counts as the table, and a listener as one of whatever balancer."""
    _, _, service, _, _, tail = arn.split(":", 5)
    return f"{service}:{re.split('[/:]', tail)[0]}"


def _fits(arn: str, forms: list[str]) -> bool:
    return any(_names(arn, form) for form in forms)


def _names(arn: str, form: str) -> dict[str, str]:
    """What the placeholders of an ARN's form stand for in an ARN; nothing where it is not of this form."""
    found = _pattern(form).fullmatch(arn)
    return found.groupdict() if found else {}


@cache
def _pattern(form: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\$\\\{(\w+)\\\}", r"(?P<\1>[^:]*)", re.escape(form)))


def _filled(form: str, place: Place, names: Mapping[str, str]) -> str:
    """An ARN of a form that no resource of the stack has: of something in it, or of another in the account."""
    text = form.replace("arn:${Partition}:", "").replace("${Region}", "{region}").replace("${Account}", "{account}")
    return place.arn(re.sub(r"\$\{([^}]+)\}", lambda key: names.get(key[1], _STAND_IN), text))


def _tags(resource: Resource) -> dict[str, str]:
    """The tags that the template puts on a resource."""
    listed = resource.properties.get("Tags", [])
    for specification in resource.properties.get("TagSpecifications", []):
        if specification["ResourceType"] == "launch-template":
            listed = [*listed, *specification["Tags"]]
    return {str(tag["Key"]): str(tag["Value"]) for tag in listed} if isinstance(listed, list) else {}
