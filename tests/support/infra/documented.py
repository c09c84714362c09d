"""What AWS's documents let strings be, where its schemas do not say so: character sets, lengths and sizes.

cfn-lint's schemas have the patterns of most services; these are the others, each with where it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

_GROUP_TEXT = r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}"
_RULE_TEXT = r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=;{}!$*]{0,255}"
_BALANCER = r"(?!internal-)[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
_ECS_NAME = r"[A-Za-z0-9_-]{1,255}"
_PRINTABLE = r"[\x20-\x7e]"


@dataclass(frozen=True)
class Text:
    """What a string may be.

    Attributes:
        types: of resources that have the property, as a pattern.
        key: the property, at whatever depth.
        pattern: which the whole string must match.
        source: where AWS says so.
    """

    types: str
    key: str
    pattern: str
    source: str


_TABLE: Mapping[tuple[str, str], tuple[tuple[str, str, str, str], ...]] = {
    ("EC2", "AWSEC2/latest/APIReference"): (
        ("SecurityGroup", "GroupDescription", _GROUP_TEXT, "API_CreateSecurityGroup"),
        ("SecurityGroup*", "Description", _RULE_TEXT, "API_IpRange"),
        ("LaunchTemplate", "LaunchTemplateName", r"[a-zA-Z0-9().\-/_]{3,128}", "API_CreateLaunchTemplate"),
        ("LaunchTemplate", "VersionDescription", _PRINTABLE + "{0,255}", "API_CreateLaunchTemplate"),
    ),
    ("EC2", "AWSEC2/latest/UserGuide"): (
        # 16 KB at the most, before it is encoded.
        ("LaunchTemplate", "UserData", r"(?s:.{0,21848})", "user-data"),
    ),
    ("ElasticLoadBalancingV2", "elasticloadbalancing/latest/APIReference"): (
        ("LoadBalancer", "Name", _BALANCER, "API_CreateLoadBalancer"),
        ("TargetGroup", "Name", _BALANCER, "API_CreateTargetGroup"),
    ),
    ("AutoScaling", "autoscaling/ec2/APIReference"): (
        ("AutoScalingGroup", "AutoScalingGroupName", r"[^:]{1,255}", "API_CreateAutoScalingGroup"),
    ),
    ("ECS", "AmazonECS/latest/APIReference"): (
        ("Cluster", "ClusterName", _ECS_NAME, "API_CreateCluster"),
        ("Service", "ServiceName", _ECS_NAME, "API_CreateService"),
        ("CapacityProvider", "Name", rf"(?!aws|ecs|fargate){_ECS_NAME}", "API_CreateCapacityProvider"),
        ("TaskDefinition", "Family", _ECS_NAME, "API_RegisterTaskDefinition"),
        ("TaskDefinition", "Name", _ECS_NAME, "API_ContainerDefinition"),
        ("TaskDefinition", "Image", r"[A-Za-z0-9_\-:./#@]{1,255}", "API_ContainerDefinition"),
    ),
    ("Events", "eventbridge/latest/APIReference"): (
        ("Rule", "Description", r"(?s:.{0,512})", "API_PutRule"),
        ("Rule", "Id", r"[.\-_A-Za-z0-9]{1,64}", "API_Target"),
    ),
    ("CloudWatch", "AmazonCloudWatch/latest/APIReference"): (
        ("Alarm", "AlarmName", _PRINTABLE + "{1,255}", "API_PutMetricAlarm"),
        ("Alarm", "AlarmDescription", r"(?s:.{0,1024})", "API_PutMetricAlarm"),
        ("Alarm", "Id", r"[a-z][A-Za-z0-9_]{0,254}", "API_MetricDataQuery"),
        ("Alarm", "Expression", r"(?s:.{1,2048})", "API_MetricDataQuery"),
        ("Alarm", "Namespace", r"[^:].{0,254}", "API_PutMetricAlarm"),
        ("Dashboard", "DashboardName", r"[A-Za-z0-9_-]{1,255}", "API_PutDashboard"),
    ),
    ("DynamoDB", "amazondynamodb/latest/APIReference"): (
        ("Table", "TableName", r"[a-zA-Z0-9_.-]{3,255}", "API_TableDescription"),
    ),
    ("IAM", "IAM/latest/APIReference"): (
        ("*", "PolicyName", r"[\w+=,.@-]{1,128}", "API_PutRolePolicy"),
        ("InstanceProfile", "InstanceProfileName", r"[\w+=,.@-]{1,128}", "API_CreateInstanceProfile"),
    ),
    ("IAM", "IAM/latest/UserGuide"): (("*", "Sid", r"[A-Za-z0-9]*", "reference_policies_elements_sid"),),
    ("Lambda", "lambda/latest/api"): (
        ("Function", "FunctionName", r"[a-zA-Z0-9-_]{1,64}", "API_CreateFunction"),
        ("Function", "Description", r"(?s:.{0,256})", "API_CreateFunction"),
    ),
    ("Lambda", "AWSCloudFormation/latest/UserGuide"): (
        ("Function", "ZipFile", r"(?s:.{1,4194304})", "aws-properties-lambda-function-code"),
    ),
    ("SNS", "sns/latest/api"): (("Topic", "TopicName", r"[A-Za-z0-9_-]{1,256}", "API_CreateTopic"),),
    ("SQS", "AWSSimpleQueueService/latest/APIReference"): (
        ("Queue", "QueueName", r"[A-Za-z0-9_-]{1,80}", "API_CreateQueue"),
    ),
    ("SageMaker", "sagemaker/latest/APIReference"): (
        ("Endpoint", "EndpointName", r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "API_CreateEndpoint"),
        (
            "InferenceComponent",
            "InferenceComponentName",
            r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
            "API_CreateInferenceComponent",
        ),
        ("InferenceComponent", "VariantName", r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "API_CreateInferenceComponent"),
    ),
    ("ApplicationAutoScaling", "autoscaling/application/APIReference"): (
        ("ScalingPolicy", "PolicyName", _PRINTABLE + "{1,256}", "API_PutScalingPolicy"),
    ),
    ("SSM", "systems-manager/latest/APIReference"): (
        ("Parameter", "Name", r"(?!/?(?i:aws|ssm))[a-zA-Z0-9_.\-/]{1,1011}", "API_PutParameter"),
    ),
}
"""By service and guide: a type, its property, what that may be, and the page that says so."""
TEXTS = tuple(
    Text(f"AWS::{service}::{kind}", key, pattern, f"https://docs.aws.amazon.com/{guide}/{page}.html")
    for (service, guide), rows in _TABLE.items()
    for kind, key, pattern, page in rows
)
# What the strictest services take: letters, digits, spaces and these (docs.aws.amazon.com/tag-editor/latest/userguide).
TAG_KEY = r"(?!(?i:aws):)[A-Za-z0-9 _.:/=+\-@]{1,128}"
TAG_VALUE = r"[A-Za-z0-9 _.:/=+\-@]{0,256}"
TEMPLATE_TEXT = r"(?s:.{0,1024})"
PARAMETER_TEXT = r"(?s:.{0,4000})"
"""Of a template, and of its parameters (docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide: quotas)."""
ENVIRONMENT_BYTES = 4096
"""Of all of a function's variables (docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html)."""


def faults(kind: str, properties: Mapping[str, Any]) -> list[str]:
    """Return the strings of a resource that AWS would refuse, each with where it says so."""
    found = [
        f"{text.key}: {value!r} is not {text.pattern} ({text.source})"
        for text in TEXTS
        if fnmatchcase(kind, text.types)
        for value in _values(properties, text.key)
        if not re.fullmatch(text.pattern, value)
    ]
    found += [
        f"tag {tag}"
        for tag in _tags(properties)
        if not (re.fullmatch(TAG_KEY, str(tag["Key"])) and re.fullmatch(TAG_VALUE, str(tag["Value"])))
    ]
    for variables in _entries(properties, "Variables"):
        size = sum(len(f"{name}{value}".encode()) for name, value in variables.items())
        if size > ENVIRONMENT_BYTES:
            found.append(f"Variables: {size} bytes, and Lambda takes {ENVIRONMENT_BYTES}")
    return found


def _values(value: Any, key: str) -> Iterator[str]:
    return (found for found in _entries(value, key) if isinstance(found, str))


def _tags(properties: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for tags in _entries(properties, "Tags"):
        yield from tags


def _entries(value: Any, key: str) -> Iterator[Any]:
    """Yield what stands under a key, at whatever depth."""
    if isinstance(value, Mapping):
        for name, entry in value.items():
            if name == key:
                yield entry
            yield from _entries(entry, key)
    elif isinstance(value, list):
        for entry in value:
            yield from _entries(entry, key)
