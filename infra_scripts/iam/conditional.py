"""Actions in CloudFormation's schemas that a resource needs only with certain properties.

The list of a type's handler contains the actions that any resource of the type may need. An action that matches a
pattern is left out unless the resource has one of the properties, at any depth; without properties it is always left
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from infra_scripts.iam.rendered import Value

_KEY = ("KmsKeyArn", "KmsKeyId", "KMSMasterKeyId", "KmsMasterKeyId", "KmsKey")
_IMPORT = ("ImportSourceSpecification",)
_METADATA = ("MetadataTableConfiguration", "MetadataConfiguration")

ONLY_WITH: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # AWS's own keys admit everyone who may use their service.
    "*": {"kms:*": _KEY},
    "AWS::ApplicationAutoScaling::ScalableTarget": {
        "application-autoscaling:*ScheduledAction": ("ScheduledActions",),
        "lambda:*": (),  # for the scaling of functions
    },
    "AWS::AutoScaling::AutoScalingGroup": {
        "cloudwatch:PutMetricAlarm": (),  # for scaling policies, which are separate resources
        "ec2:Get*": ("InstanceRequirements",),
        "ssm:Get*": (),  # for an image that the template names by a parameter; stacks name it by its id
        "vpc-lattice:*": ("TrafficSources",),
    },
    "AWS::DynamoDB::Table": {
        "dynamodb:*ContributorInsights": ("ContributorInsightsSpecification",),
        # For replicas, which only a global table has.
        "dynamodb:*Item": (),
        "dynamodb:*KinesisStreamingDestination": ("KinesisStreamSpecification",),
        "dynamodb:*Replica": (),
        "dynamodb:Query": (),
        "dynamodb:Scan": (),
        "dynamodb:DeleteResourcePolicy": ("ResourcePolicy",),
        "dynamodb:DescribeImport": _IMPORT,
        "dynamodb:ImportTable": _IMPORT,
        "dynamodb:PutResourcePolicy": ("ResourcePolicy",),
        "dynamodb:UpdateContinuousBackups": ("PointInTimeRecoverySpecification",),
        "iam:CreateServiceLinkedRole": (),
        "kinesis:*": ("KinesisStreamSpecification",),
        "logs:*": _IMPORT,
        "s3:*": _IMPORT,
    },
    "AWS::ECS::CapacityProvider": {"iam:PassRole": ("InfrastructureRoleArn",)},
    "AWS::ECS::Cluster": {"ecs:PutAccountSetting*": ("ClusterSettings",)},
    "AWS::ECS::Service": {"iam:PassRole": ("Role", "RoleArn")},
    "AWS::ElasticLoadBalancingV2::Listener": {"cognito-idp:*": ("AuthenticateCognitoConfig",)},
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"ec2:DescribeIpamPools": ("Ipv4IpamPoolId",)},
    "AWS::Events::Rule": {"iam:PassRole": ("RoleArn",)},
    "AWS::IAM::Policy": {"iam:*User*": ("Users",), "iam:*Group*": ("Groups",)},
    "AWS::IAM::Role": {
        "iam:*PermissionsBoundary": ("PermissionsBoundary",),
        "iam:AttachRolePolicy": ("ManagedPolicyArns",),
        "iam:DetachRolePolicy": ("ManagedPolicyArns",),
    },
    "AWS::Lambda::Function": {
        "ec2:*": ("VpcConfig",),
        "elasticfilesystem:*": ("FileSystemConfigs",),
        "lambda:*FunctionScalingConfig": ("FunctionScalingConfig",),
        "lambda:DeleteFunctionCodeSigningConfig": ("CodeSigningConfigArn",),
        "lambda:GetCodeSigningConfig": ("CodeSigningConfigArn",),
        "lambda:GetLayerVersion": ("Layers",),
        "lambda:PassCapacityProvider": ("CapacityProviderConfig",),
        "lambda:PublishVersion": ("PublishToLatestPublished",),
        "lambda:PutFunctionCodeSigningConfig": ("CodeSigningConfigArn",),
        "lambda:PutFunctionRecursionConfig": ("RecursiveLoop",),
        "lambda:PutRuntimeManagementConfig": ("RuntimeManagementConfig",),
        "s3:*": ("S3Bucket",),
        "s3files:*": ("FileSystemConfigs",),
    },
    "AWS::Logs::LogGroup": {
        "firehose:*": ("DataProtectionPolicy",),
        "logs:*IndexPolicy": ("FieldIndexPolicies",),
        "logs:*KmsKey": _KEY,
        "logs:CreateLogDelivery": ("DataProtectionPolicy",),
        "logs:DeleteResourcePolicy": ("ResourcePolicyDocument",),
        "logs:PutBearerTokenAuthentication": ("BearerTokenAuthenticationEnabled",),
        "logs:PutDataProtectionPolicy": ("DataProtectionPolicy",),
        "logs:PutLogGroupDeletionProtection": ("DeletionProtectionEnabled",),
        "logs:PutResourcePolicy": ("ResourcePolicyDocument",),
    },
    "AWS::S3::Bucket": {
        "iam:PassRole": ("ReplicationConfiguration",),
        "s3:*BucketAcl": ("AccessControl",),
        "s3:CreateBucketMetadata*": _METADATA,
        "s3:DeleteBucketMetadata*": _METADATA,
        "s3:DeleteBucketWebsite": ("WebsiteConfiguration",),
        "s3:DeleteObject": (),  # `down` deletes objects itself
        "s3:PutAccelerateConfiguration": ("AccelerateConfiguration",),
        "s3:PutAnalyticsConfiguration": ("AnalyticsConfigurations",),
        "s3:PutBucketAbac": ("AbacStatus",),
        "s3:PutBucketCORS": ("CorsConfiguration",),
        "s3:PutBucketLogging": ("LoggingConfiguration",),
        "s3:PutBucketNotification": ("NotificationConfiguration",),
        "s3:PutBucketObjectLockConfiguration": ("ObjectLockConfiguration", "ObjectLockEnabled"),
        "s3:PutBucketOwnershipControls": ("OwnershipControls",),
        "s3:PutBucketVersioning": ("VersioningConfiguration",),
        "s3:PutBucketWebsite": ("WebsiteConfiguration",),
        "s3:PutIntelligentTieringConfiguration": ("IntelligentTieringConfigurations",),
        "s3:PutInventoryConfiguration": ("InventoryConfigurations",),
        "s3:PutMetricsConfiguration": ("MetricsConfigurations",),
        "s3:PutObjectAcl": ("AccessControl",),
        "s3:PutReplicationConfiguration": ("ReplicationConfiguration",),
        "s3:UpdateBucketMetadata*": _METADATA,
        "s3tables:*": _METADATA,
    },
    "AWS::SNS::Subscription": {"iam:*": ("SubscriptionRoleArn",)},
    "AWS::SNS::Topic": {"iam:*": ("DeliveryStatusLogging",), "sns:PutDataProtectionPolicy": ("DataProtectionPolicy",)},
}


def is_needed(action: str, kind: str, properties: Mapping[str, Any]) -> bool:
    """Whether a resource with these properties needs an action of its type."""
    for name in ("*", kind):
        for pattern, keys in ONLY_WITH.get(name, {}).items():
            if fnmatchcase(action, pattern) and not _has(properties, keys):
                return False
    return True


def _has(value: Value, keys: Iterable[str]) -> bool:
    if isinstance(value, Mapping):
        return any(key in value for key in keys) or any(_has(entry, keys) for entry in value.values())
    return isinstance(value, list) and any(_has(entry, keys) for entry in value)
