"""The resource types of stacks, with the names and ARNs of their resources.

The forms of ARNs come from AWS's Service Authorization Reference
(https://docs.aws.amazon.com/service-authorization/latest/reference/).
"""

from __future__ import annotations

from dataclasses import dataclass

_ID = "0123456789abcdef0"
_UUID = "01234567-89ab-cdef-0123-456789abcdef"


@dataclass(frozen=True)
class Kind:
    """The naming of a type's resources.

    Attributes:
        arn: the part of the ARN after the partition, with {name} and {within} as placeholders.
        named: property with the resource's name; CloudFormation chooses a name without it.
        example: example of AWS's identifier, if the ARN does not contain the name.
        within: property whose value replaces {within}.
        of: property that names the parent resources, whose ARNs the resource shares.
        beneath: part of the parent's ARN, and the part that replaces it in the resource's own ARN.
        ref_is_arn: whether a Ref returns the ARN.
        longest: highest length of a name that CloudFormation chooses.
        lower: whether such a name is in lower case.
    """

    arn: str
    named: str = ""
    example: str = ""
    within: str = ""
    of: str | None = None
    beneath: tuple[str, str] | None = None
    ref_is_arn: bool = False
    longest: int = 63
    lower: bool = False


_ROLE = "iam::{account}:role/{name}"
_GROUP = "ec2:{region}:{account}:security-group/{name}"
_TARGET = "application-autoscaling:{region}:{account}:scalable-target/{name}"
_BUCKET = "s3:::{name}"
_BALANCING = "elasticloadbalancing:{region}:{account}"
_SAGEMAKER = "sagemaker:{region}:{account}"
_ECS = "ecs:{region}:{account}"

KINDS = {
    "AWS::ApplicationAutoScaling::ScalableTarget": Kind(_TARGET, example=_ID),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Kind(_TARGET, example=_ID, ref_is_arn=True),
    "AWS::AutoScaling::AutoScalingGroup": Kind(
        f"autoscaling:{{region}}:{{account}}:autoScalingGroup:{_UUID}:autoScalingGroupName/{{name}}",
        "AutoScalingGroupName",
    ),
    "AWS::CloudWatch::Alarm": Kind("cloudwatch:{region}:{account}:alarm:{name}", "AlarmName"),
    "AWS::CloudWatch::Dashboard": Kind("cloudwatch::{account}:dashboard/{name}", "DashboardName"),
    "AWS::DynamoDB::Table": Kind("dynamodb:{region}:{account}:table/{name}", "TableName"),
    "AWS::EC2::LaunchTemplate": Kind("ec2:{region}:{account}:launch-template/{name}", example=f"lt-{_ID}"),
    "AWS::EC2::SecurityGroup": Kind(_GROUP, example=f"sg-{_ID}"),
    "AWS::EC2::SecurityGroupIngress": Kind(_GROUP, of="GroupId"),
    "AWS::ECR::Repository": Kind("ecr:{region}:{account}:repository/{name}", "RepositoryName", lower=True),
    "AWS::ECS::CapacityProvider": Kind(_ECS + ":capacity-provider/{name}", "Name"),
    "AWS::ECS::Cluster": Kind(_ECS + ":cluster/{name}", "ClusterName"),
    "AWS::ECS::ClusterCapacityProviderAssociations": Kind(_ECS + ":cluster/{name}", of="Cluster"),
    "AWS::ECS::Service": Kind(_ECS + ":service/{within}/{name}", "ServiceName", within="Cluster", ref_is_arn=True),
    "AWS::ECS::TaskDefinition": Kind(_ECS + ":task-definition/{name}:1", "Family", ref_is_arn=True),
    "AWS::ElasticLoadBalancingV2::Listener": Kind(
        "", of="LoadBalancerArn", beneath=(":loadbalancer/", ":listener/"), ref_is_arn=True
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Kind(
        f"{_BALANCING}:loadbalancer/app/{{name}}/{_ID[:16]}", "Name", ref_is_arn=True
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Kind(
        f"{_BALANCING}:targetgroup/{{name}}/{_ID[:16]}", "Name", ref_is_arn=True
    ),
    "AWS::Events::Rule": Kind("events:{region}:{account}:rule/{name}", "Name"),
    "AWS::IAM::InstanceProfile": Kind("iam::{account}:instance-profile/{name}", "InstanceProfileName"),
    "AWS::IAM::Policy": Kind(_ROLE, of="Roles"),
    "AWS::IAM::Role": Kind(_ROLE, "RoleName", longest=64),
    "AWS::Lambda::EventSourceMapping": Kind("lambda:{region}:{account}:event-source-mapping:{name}", example=_UUID),
    "AWS::Lambda::Function": Kind("lambda:{region}:{account}:function:{name}", "FunctionName"),
    "AWS::Lambda::Permission": Kind("lambda:{region}:{account}:function:{name}", of="FunctionName"),
    "AWS::Logs::LogGroup": Kind("logs:{region}:{account}:log-group:{name}", "LogGroupName"),
    "AWS::S3::Bucket": Kind(_BUCKET, "BucketName", lower=True),
    "AWS::S3::BucketPolicy": Kind(_BUCKET, of="Bucket"),
    "AWS::Scheduler::Schedule": Kind(
        "scheduler:{region}:{account}:schedule/{within}/{name}", "Name", within="GroupName"
    ),
    "AWS::Scheduler::ScheduleGroup": Kind("scheduler:{region}:{account}:schedule-group/{name}", "Name"),
    "AWS::SNS::Subscription": Kind("sns:{region}:{account}:{name}", of="TopicArn"),
    "AWS::SNS::Topic": Kind("sns:{region}:{account}:{name}", "TopicName", ref_is_arn=True),
    "AWS::SNS::TopicPolicy": Kind("sns:{region}:{account}:{name}", of="Topics"),
    "AWS::SQS::Queue": Kind("sqs:{region}:{account}:{name}", "QueueName"),
    "AWS::SQS::QueuePolicy": Kind("sqs:{region}:{account}:{name}", of="Queues"),
    "AWS::SSM::Parameter": Kind("ssm:{region}:{account}:parameter{name}", "Name"),
    "AWS::SageMaker::Endpoint": Kind(_SAGEMAKER + ":endpoint/{name}", "EndpointName"),
    # CloudFormation names this type after its logical name in the template.
    "AWS::SageMaker::EndpointConfig": Kind(
        _SAGEMAKER + ":endpoint-config/{name}", example="endpointconfig-1a2b3c4d5e6f"
    ),
    "AWS::SageMaker::InferenceComponent": Kind(_SAGEMAKER + ":inference-component/{name}", "InferenceComponentName"),
    "AWS::SageMaker::Model": Kind(_SAGEMAKER + ":model/{name}", example="model0-1a2b3c4d5e6f"),
}
"""The types that a stack may contain; add a new type here first."""
