"""The permissions that the deployer of a stack needs, computed from the template and AWS's published schemas.

CloudFormation acts with its caller's permissions, so the deployer needs the actions of the handlers of all resources.
`facts.json` contains the handlers' actions by type, and the resources for which IAM checks each action;
tests/support/iam_facts.py writes it from the schemas.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra_scripts.common.deployment import StackRequest
from infra_scripts.iam.rendered import Place, Resource, Value, render, strings

_FACTS = Path(__file__).with_name("facts.json")
ONLY_WITH: Mapping[str, Mapping[str, list[str]]] = yaml.safe_load(_FACTS.with_name("conditional.yaml").read_text())
"""Patterns of actions, by type of resource, that a resource needs only with one of some properties, at any depth.

A type's handler lists the actions that any resource of the type may need. Those without properties are never needed.
"""
_STAND_IN = "0123456789abcdef0"
# In the Service Authorization Reference these may name a topic, but a subscription is not a topic.
_RESOURCELESS = {"sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"}
# By AWS's guide of permissions for CloudWatch Logs, these are checked for a group itself, all others for its contents.
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
"""Service-linked roles by resource type and, for scaling, by service namespace."""
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
    """A permission that the deployer needs.

    Attributes:
        resource: ARN of the resource; "*" if the action takes none.
        context: values of IAM's condition keys in the request.
    """

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    why: str = ""

    def __hash__(self) -> int:
        return hash((self.action, self.resource, tuple(sorted(self.context.items()))))


def required_permissions(request: StackRequest, place: Place) -> tuple[Permission, ...]:
    """Return the permissions to create, change and delete a stack."""
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


def is_needed(action: str, kind: str, properties: Mapping[str, Any]) -> bool:
    """Return whether a resource with these properties needs an action of its type."""
    for name in ("*", kind):
        for pattern, keys in ONLY_WITH.get(name, {}).items():
            if fnmatchcase(action, pattern) and not _has(properties, keys):
                return False
    return True


def _has(value: Value, keys: Iterable[str]) -> bool:
    if isinstance(value, Mapping):
        return any(key in value for key in keys) or any(_has(entry, keys) for entry in value.values())
    return isinstance(value, list) and any(_has(entry, keys) for entry in value)


@cache
def facts() -> dict[str, Any]:
    """Return AWS's published facts: the actions of each type, and the ARNs of each action."""
    found: dict[str, Any] = json.loads(_FACTS.read_text())
    return found


def service_linked_roles(resources: tuple[Resource, ...]) -> tuple[str, ...]:
    """Return the services whose service-linked roles must exist before these resources are created."""
    found = {
        service
        for resource in resources
        for namespace, service in LINKED_SERVICES.get(resource.type, {}).items()
        if namespace in {"", resource.properties.get("ServiceNamespace")}
    }
    return tuple(sorted(found))


def linked_role(service: str, place: Place) -> Permission:
    """Return the permission to create the service-linked role of a service."""
    arn = place.arn(f"iam::{{account}}:role/aws-service-role/{service}/AWSServiceRoleFor")
    return Permission("iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": (service,)}, "service-linked roles")


def _of_the_stack(tags: Mapping[str, str], place: Place) -> Iterator[Permission]:
    arn = place.arn(f"cloudformation:{{region}}:{{account}}:stack/{place.stack}/{_STAND_IN}")
    for name in _ON_THE_STACK:
        yield Permission(f"cloudformation:{name}", arn, _context(place, name, tags), f"the stack {place.stack}")


def _of(
    action: str, resource: Resource, resources: tuple[Resource, ...], tags: Mapping[str, str], place: Place
) -> Iterator[Permission]:
    """Yield the permissions for one action of a resource's handlers."""
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
    """Yield the contexts of an action: EC2's tags are set when a resource is created, or later."""
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
    """Return the ARNs for which IAM checks an action: the resource's own, and others that the action always needs."""
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
    """Return the ARN that IAM checks: most actions of CloudWatch Logs concern the contents of a group."""
    return f"{arn}:*" if ":log-group:" in arn and action not in _OF_THE_GROUP else arn


def _kind(arn: str) -> str:
    """Return the kind of resource of an ARN: a table's stream counts as the table."""
    _, _, service, _, _, tail = arn.split(":", 5)
    return f"{service}:{re.split('[/:]', tail)[0]}"


def _fits(arn: str, forms: list[str]) -> bool:
    return any(_names(arn, form) for form in forms)


def _names(arn: str, form: str) -> dict[str, str]:
    """Return the values of a form's placeholders in an ARN; empty if the ARN does not have the form."""
    found = _pattern(form).fullmatch(arn)
    return found.groupdict() if found else {}


@cache
def _pattern(form: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\$\\\{(\w+)\\\}", r"(?P<\1>[^:]*)", re.escape(form)))


def _filled(form: str, place: Place, names: Mapping[str, str]) -> str:
    """Return an ARN of a form that no resource of the stack has."""
    text = form.replace("arn:${Partition}:", "").replace("${Region}", "{region}").replace("${Account}", "{account}")
    return place.arn(re.sub(r"\$\{([^}]+)\}", lambda key: names.get(key[1], _STAND_IN), text))


def _tags(resource: Resource) -> dict[str, str]:
    """Return the tags of a resource in the template."""
    listed = resource.properties.get("Tags", [])
    for specification in resource.properties.get("TagSpecifications", []):
        if specification["ResourceType"] == "launch-template":
            listed = [*listed, *specification["Tags"]]
    return {str(tag["Key"]): str(tag["Value"]) for tag in listed} if isinstance(listed, list) else {}
