"""AWS's clients, made once, and calls of them beside the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar

from tasks.aws.errors import wrap_errors
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

P = ParamSpec("P")
T = TypeVar("T")

# Sessions must not make two clients at once.
_making = threading.Lock()
# All of its addresses, by the route that they are reached by.
_AWS = "https://amazonaws.com"


class _Client(Generic[T]):
    """A client of one service, made when it is first used.

    Each call has so many attempts at most, and waits `read_timeout` seconds. The mode `adaptive` also slows down while
    AWS throttles, which may hold a call up for a while.
    """

    def __init__(
        self,
        service: str,
        *,
        attempts: int = 6,
        read_timeout: float = 30,
        connections: int = 10,
        mode: Literal["standard", "adaptive"] = "standard",
    ) -> None:
        self.service = service
        # botocore's own retries back off, throttling included; nothing else retries a call to AWS.
        self.config: dict[str, Any] = {
            "connect_timeout": 5,
            "read_timeout": read_timeout,
            "retries": {"mode": mode, "total_max_attempts": attempts},
            "max_pool_connections": connections,
            "user_agent_extra": "hearth",
        }

    def __get__(self, aws: Aws, _owner: type[Aws]) -> T:
        with _making:
            if self not in aws.made:
                from botocore.config import Config

                config = Config(**self.config).merge(aws.options.get("config", Config()))
                _check_route()
                session: Any = aws.session or shared_session(aws.requested_region)
                with wrap_errors(self.service):
                    aws.made[self] = session.client(self.service, **{**aws.options, "config": config})
            made: T = aws.made[self]
            return made


class Aws:
    """The clients of one region. Importing boto3 and loading its models takes half a second: only when one is used.

    AWS's own configuration decides on a region or a session that is None. `options`, such as endpoint_url, are those of
    all clients; `clock` is AWS's time.
    """

    ec2: _Client[EC2Client] = _Client("ec2", mode="adaptive")
    # For calls that must not take effect late: they succeed or fail within 35 seconds.
    ec2_at_once: _Client[EC2Client] = _Client("ec2", attempts=2, read_timeout=10)
    dynamodb: _Client[DynamoDBClient] = _Client("dynamodb")
    ssm: _Client[SSMClient] = _Client("ssm")
    cloudformation: _Client[CloudFormationClient] = _Client("cloudformation")
    ecs: _Client[ECSClient] = _Client("ecs")
    elbv2: _Client[ElasticLoadBalancingv2Client] = _Client("elbv2")
    logs: _Client[CloudWatchLogsClient] = _Client("logs")
    s3: _Client[S3Client] = _Client("s3", connections=32)
    sagemaker: _Client[SageMakerClient] = _Client("sagemaker")
    sagemaker_runtime: _Client[SageMakerRuntimeClient] = _Client("sagemaker-runtime")
    pricing: _Client[Any] = _Client("pricing")
    # These are not worth a long wait.
    cloudwatch: _Client[CloudWatchClient] = _Client("cloudwatch", attempts=2, read_timeout=5)
    ecr: _Client[Any] = _Client("ecr", attempts=2, read_timeout=5)
    sts: _Client[Any] = _Client("sts", attempts=2, read_timeout=5)
    service_quotas: _Client[Any] = _Client("service-quotas", attempts=2, read_timeout=5)

    def __init__(
        self, region: str | None = None, *, session: Session | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self.requested_region = region
        self.session = session
        self.options = dict(options or {})
        self.made: dict[_Client[Any], Any] = {}
        self.clock = ServerClock()

    @property
    def region(self) -> str:
        """The region in use."""
        return str(self.ec2.meta.region_name)

    def credentials(self) -> Any:  # noqa: ANN401 - botocore ships no types of its own
        """Return the credentials to sign with, refreshed if need be, which may take a call to AWS.

        Raises:
            NoCredentialsError: there are none; see `wrap_errors`.
        """
        from botocore.exceptions import NoCredentialsError

        found = shared_session(self.requested_region).get_credentials()
        if found is None:
            raise NoCredentialsError
        return found.get_frozen_credentials()


def _check_route() -> None:
    url = os.environ.get("AWS_ENDPOINT_URL") or _AWS
    check_connection(url, AWS_CERTIFICATES)
    if (find_proxy(url) or "").startswith("socks"):
        raise CloudError("AWS cannot be reached through a SOCKS proxy. Set HTTPS_PROXY to one of http or https.")


@cache
def shared_session(region: str | None) -> Any:  # noqa: ANN401 - importing boto3's types would import boto3
    """Return the one session of a region: it keeps the services' models, each of which takes 0.1 s to read."""
    import boto3

    # boto3 itself reads AWS_DEFAULT_REGION alone.
    return boto3.Session(region_name=region or os.environ.get("AWS_REGION"))


async def ask(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Make a call to AWS beside the event loop. An error names the call.

    Raises:
        CloudError: AWS refuses it, or cannot be reached.
    """
    with wrap_errors(getattr(call, "__name__", "call")):
        return await asyncio.to_thread(call, *arguments, **named)


async def ask_all(client: Any, operation: str, key: str, **arguments: Any) -> list[Any]:  # noqa: ANN401 - of any service
    """Return the entries of all pages of a call to AWS; `key` names them in its responses.

    Raises:
        CloudError: AWS refuses it, or cannot be reached.
    """

    def entries() -> list[Any]:
        return [entry for page in client.get_paginator(operation).paginate(**arguments) for entry in page[key]]

    entries.__name__ = operation  # for errors
    return await ask(entries)


async def caller(aws: Aws) -> str:
    """Ask AWS who this is, and return it with the region; never anything secret.

    Raises:
        CloudError: there are no credentials or no region, or AWS does not accept them.
    """
    region = aws.region
    response = await ask(aws.sts.get_caller_identity)
    return f"{response['Arn']} in {region}"
