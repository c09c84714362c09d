"""AWS's clients, made once, and its errors in Hearth's words."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from tasks.aws.errors import told_of
from tasks.core.clock import ServerClock
from tasks.core.errors import CloudError
from tasks.core.network import AWS_CERTIFICATES, check_connection, find_proxy

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from mypy_boto3_ssm import SSMClient

# Sessions must not make two clients at once.
_making = threading.Lock()

P = ParamSpec("P")
T = TypeVar("T")

# All of its addresses, by the way that they are reached.
_AWS = "https://amazonaws.com"


class Aws:
    """The clients of one region. Importing boto3 and loading its models takes half a second: only when one is used.

    Args:
        region: AWS's own configuration decides if None.
        session: whose credentials are used; AWS's own configuration decides if None.
        options: of all clients, such as endpoint_url.

    Attributes:
        clock: AWS's time.
    """

    def __init__(
        self, region: str | None = None, *, session: Session | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self._region = region
        self._made_with = session
        self._options = dict(options or {})
        self._clients: dict[str, Any] = {}
        self.clock = ServerClock()

    @property
    def region(self) -> str:
        """The region in use."""
        return str(self.ec2.meta.region_name)

    @property
    def ec2(self) -> EC2Client:
        """Machines."""
        client: EC2Client = self._client("ec2", mode="adaptive")
        return client

    @property
    def ec2_at_once(self) -> EC2Client:
        """Machines, for calls that must not take effect late: they succeed or fail within 35 seconds."""
        client: EC2Client = self._client("ec2", attempts=2, read_timeout=10)
        return client

    @property
    def dynamodb(self) -> DynamoDBClient:
        """Leases."""
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @property
    def ssm(self) -> SSMClient:
        """Parameters and tunnels."""
        client: SSMClient = self._client("ssm")
        return client

    @property
    def cloudformation(self) -> CloudFormationClient:
        """The pool's stack."""
        client: CloudFormationClient = self._client("cloudformation")
        return client

    @property
    def ecs(self) -> ECSClient:
        """Tasks."""
        client: ECSClient = self._client("ecs")
        return client

    @property
    def ecr(self) -> Any:  # noqa: ANN401 - a single call
        """Whether tasks have an image."""
        return self._client("ecr", attempts=2, read_timeout=5)

    @property
    def elbv2(self) -> ElasticLoadBalancingv2Client:
        """Which tasks serve."""
        client: ElasticLoadBalancingv2Client = self._client("elbv2")
        return client

    @property
    def logs(self) -> CloudWatchLogsClient:
        """What machines logged."""
        client: CloudWatchLogsClient = self._client("logs")
        return client

    @property
    def cloudwatch(self) -> CloudWatchClient:
        """Metrics, which are not worth a long wait."""
        client: CloudWatchClient = self._client("cloudwatch", attempts=2, read_timeout=5)
        return client

    @property
    def s3(self) -> S3Client:
        """Results and documents; many small objects are asked for at once."""
        client: S3Client = self._client("s3", connections=32)
        return client

    @property
    def sts(self) -> Any:  # noqa: ANN401 - a single call
        """Whose credentials these are."""
        return self._client("sts", attempts=2, read_timeout=5)

    @property
    def service_quotas(self) -> Any:  # noqa: ANN401 - it has no types here
        """What the account may have at once."""
        return self._client("service-quotas", attempts=2, read_timeout=5)

    @property
    def sagemaker(self) -> SageMakerClient:
        """Endpoints."""
        client: SageMakerClient = self._client("sagemaker")
        return client

    @property
    def sagemaker_runtime(self) -> SageMakerRuntimeClient:
        """Their queues."""
        client: SageMakerRuntimeClient = self._client("sagemaker-runtime")
        return client

    def credentials(self) -> Any:  # noqa: ANN401 - botocore ships no types of its own
        """What requests are signed with now: refreshed if need be, which may take a call to AWS.

        Raises:
            NoCredentialsError: there are none; see `told_of`.
        """
        from botocore.exceptions import NoCredentialsError

        found = _session(self._region).get_credentials()
        if found is None:
            raise NoCredentialsError
        return found.get_frozen_credentials()

    def _client(
        self,
        service: str,
        attempts: int = 6,
        read_timeout: float = 30,
        connections: int = 10,
        mode: Literal["standard", "adaptive"] = "standard",
    ) -> Any:  # noqa: ANN401 - each property names its own
        key = f"{service} {attempts}"
        with _making:
            if key not in self._clients:
                from botocore.config import Config

                # botocore's own retries back off, throttling included; nothing else retries a call to AWS. The
                # adaptive mode also asks less often while it is throttled, which may hold a call up for a while.
                config = Config(
                    connect_timeout=5,
                    read_timeout=read_timeout,
                    retries={"mode": mode, "total_max_attempts": attempts},
                    max_pool_connections=connections,
                    user_agent_extra="hearth",
                )
                config = config.merge(self._options.get("config", Config()))
                _check_way()
                session: Any = self._made_with or _session(self._region)
                with told_of(service):
                    self._clients[key] = session.client(service, **{**self._options, "config": config})
            return self._clients[key]


def _check_way() -> None:
    url = os.environ.get("AWS_ENDPOINT_URL") or _AWS
    check_connection(url, AWS_CERTIFICATES)
    if (find_proxy(url) or "").startswith("socks"):
        raise CloudError("AWS cannot be reached through a SOCKS proxy. Set HTTPS_PROXY to one of http or https.")


@cache
def _session(region: str | None) -> Any:  # noqa: ANN401 - importing boto3's types would import boto3
    """One session a region: it keeps the services' models, each of which takes a tenth of a second to read."""
    import boto3

    # boto3 itself reads AWS_DEFAULT_REGION alone.
    return boto3.Session(region_name=region or os.environ.get("AWS_REGION"))


async def ask(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Make a call to AWS beside the event loop. The call's name is told if it fails.

    Raises:
        CloudError: AWS refuses it, or cannot be reached.
    """
    with told_of(getattr(call, "__name__", "call")):
        return await asyncio.to_thread(call, *arguments, **named)


async def caller(aws: Aws) -> str:
    """Ask AWS who this is, and return it with the region; never anything secret.

    Raises:
        CloudError: there are no credentials or no region, or AWS does not take them.
    """
    region = aws.region
    answer = await ask(aws.sts.get_caller_identity)
    return f"{answer['Arn']} in {region}"
