"""What an account refuses, though moto would do it: the reasons are AWS's own words.

Simulated. Sources: EC2 API Reference (CreateSecurityGroup), CloudFormation User Guide (Permissions for tagging), Lambda
Developer Guide (Reserved concurrency), ECS Developer Guide (Service-linked roles), SageMaker's CreateModel as users
quote it, and the schemas of resource providers that cfn-lint carries.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

from tests.support.aws.shapes import GROUP_TEXT
from tests.support.aws.templates import Asked, Resource
from tests.support.aws.wire import REGION, Tree

_LEAST_UNRESERVED = 10
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_LINKED = {
    "AWS::ECS::Cluster": "ecs",
    "AWS::ECS::Service": "ecs",
    "AWS::AutoScaling::AutoScalingGroup": "autoscaling",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "elasticloadbalancing",
    "AWS::ApplicationAutoScaling::ScalableTarget": "ecs.application-autoscaling",
}


@dataclass
class Account:
    """What is particular about an account.

    Attributes:
        policies: of whoever asks; None allows everything. Resources and conditions are not looked at.
        functions: Lambda functions that may run at once.
        linked_roles: whether the usual service-linked roles are there from the beginning.
    """

    policies: list[Tree] | None = None
    functions: int = 1000
    linked_roles: bool = True

    def allows(self, action: str) -> bool:
        """Whether the policies allow an action, such as "ecs:TagResource"."""
        if self.policies is None:
            return True
        statements = [each for policy in self.policies for each in _listed(policy["Statement"])]
        named = [each["Effect"] for each in statements if _names(each.get("Action", []), action)]
        return "Allow" in named and "Deny" not in named


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _names(patterns: Any, action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in _listed(patterns))


@dataclass(frozen=True)
class Refusal:
    """A resource that is not made, and why."""

    resource: Resource
    reason: str


class Refusals:
    """What an account refuses of a stack."""

    def __init__(self, account: Account, behind: Callable[[str], Any]) -> None:
        self._account = account
        self._behind = behind

    async def unfetched(self, asked: Asked) -> list[str]:
        """Return the SSM parameters that a stack is to take values of, and that do not exist."""
        names = [value for kind, value in asked.parameters.values() if kind.startswith("AWS::SSM::Parameter::Value<")]
        ssm = self._behind("ssm")
        return [name for name in names if not await asyncio.to_thread(_exists, ssm.get_parameter, Name=name)]

    async def of(self, asked: Asked) -> Refusal | None:
        """Return the first refusal."""
        roles = set() if self._account.linked_roles else await asyncio.to_thread(self._roles)
        for resource in asked.resources:
            reason = (
                _invalid_text(resource)
                or self._untagged(resource, tagged=asked.tagged)
                or self._reserved(resource)
                or self._unlinked(resource, roles)
                or await asyncio.to_thread(self._image, resource)
            )
            if reason:
                return Refusal(resource, reason)
        return None

    def _untagged(self, resource: Resource, *, tagged: bool) -> str | None:
        """Without the permission for it, a resource that would be tagged is not made."""
        tagging = _schema(resource.type).get("tagging", {})
        tagged = tagged or "Tags" in resource.properties
        if not tagged or not (isinstance(tagging, dict) and tagging.get("taggable", True)):
            return None
        # Reading and removing tags is in the list, too, and not asked for when something is made.
        needed = [each for each in tagging.get("permissions", []) if _PUTS_TAGS.search(each)]
        missing = [each for each in needed if not self._account.allows(each)]
        return missing[0] and _TAGGING.format(missing[0]) if missing else None

    def _reserved(self, resource: Resource) -> str | None:
        reserved = resource.properties.get("ReservedConcurrentExecutions")
        if reserved is None or self._account.functions - int(reserved) >= _LEAST_UNRESERVED:
            return None
        return (
            'Resource handler returned message: "Specified ReservedConcurrentExecutions for function decreases '
            f"account's UnreservedConcurrentExecution below its minimum value of [{_LEAST_UNRESERVED}]. "
            '(Service: Lambda, Status Code: 400, Request ID: -)" (HandlerErrorCode: InvalidRequest)'
        )

    def _roles(self) -> set[str]:
        found = self._behind("iam").list_roles(PathPrefix="/aws-service-role/")["Roles"]
        return {role["Path"].split("/")[2].removesuffix(".amazonaws.com") for role in found}

    def _unlinked(self, resource: Resource, roles: Iterable[str]) -> str | None:
        service = _LINKED.get(resource.type)
        if self._account.linked_roles or service is None or service in roles:
            return None
        return (
            "Invalid request provided: Unable to assume the service linked role. Please verify that the "
            f"{service} service linked role exists. (Status Code: 400; Error Code: InvalidParameterException)"
        )

    def _image(self, resource: Resource) -> str | None:
        """SageMaker takes no image index, which `docker build` makes where it adds provenance."""
        if resource.type != "AWS::SageMaker::Model":
            return None
        image = str(resource.properties.get("PrimaryContainer", {}).get("Image", ""))
        parts = re.fullmatch(rf"\d+\.dkr\.ecr\.{REGION}\.amazonaws\.com/([^:@]+)[:@](.+)", image)
        if parts is None:
            return None
        key = "imageDigest" if parts[2].startswith("sha256:") else "imageTag"
        wanted: Any = [{key: parts[2]}]
        try:
            images = self._behind("ecr").batch_get_image(repositoryName=parts[1], imageIds=wanted)["images"]
        except ClientError:
            images = []
        if not images:
            return f"Requested image {image} not found."
        media_type = images[0].get("imageManifestMediaType") or json.loads(images[0]["imageManifest"]).get("mediaType")
        return _UNSUPPORTED.format(media_type, image) if media_type == OCI_INDEX else None


_UNSUPPORTED = "Unsupported manifest media type {} for image {}. Ensure that valid manifest media type is used for specified image."
_PUTS_TAGS = re.compile(r":(?:Tag|CreateTags|CreateOrUpdateTags|Add\w*Tags)")
_TAGGING = (
    "Encountered a permissions error performing a tagging operation, please add required tag permissions. See "
    "https://repost.aws/knowledge-center/cloudformation-tagging-permission-error for how to resolve. Resource handler "
    'returned message: "not authorized to perform: {}" (HandlerErrorCode: UnauthorizedTaggingOperation)'
)


def _schema(kind: str) -> Tree:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # takes a second

    schema: Tree = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    return schema


def _invalid_text(resource: Resource) -> str | None:
    if resource.type != "AWS::EC2::SecurityGroup":
        return None
    rules = [*resource.properties.get("SecurityGroupIngress", []), *resource.properties.get("SecurityGroupEgress", [])]
    texts = [resource.properties.get("GroupDescription", ""), *(rule.get("Description", "") for rule in rules)]
    if all(re.fullmatch(GROUP_TEXT, text) for text in texts):
        return None
    return (
        "Invalid security group description. Valid descriptions are strings less than 256 characters from the "
        "following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$* (Service: Ec2, Status Code: 400, Request ID: -)"
    )


def _exists(get: Callable[..., object], **named: str) -> bool:
    try:
        get(**named)
    except ClientError:
        return False
    return True
