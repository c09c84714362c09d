"""boto3's clients, and what their errors mean to a person."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    WaiterError,
)
from botocore.parsers import ResponseParserError

from infra_scripts.common.errors import AccessError, InfraError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

Listener = Callable[[str], None]
"""Is told, in a sentence, what goes on."""

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "UnauthorizedException"}
_THROTTLED = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"}
_STALE = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
    "SignatureDoesNotMatch",
    "OptInRequired",
}


@dataclass(frozen=True)
class Aws:
    """The clients of one region; those that one stack alone needs it makes itself, of `session` and `config`."""

    region: str
    session: boto3.Session
    config: Config
    ec2: EC2Client
    ssm: SSMClient
    cloudformation: CloudFormationClient
    logs: CloudWatchLogsClient
    sts: STSClient

    def account(self) -> str:
        """The account's number."""
        return self.sts.get_caller_identity()["Account"]


def connect(region: str | None = None) -> Aws:
    """Make the clients; AWS's own configuration says where and as whom, unless a region is given.

    Raises:
        AccessError: there is no region, or the profile does not exist.
    """
    with explain_errors():
        # boto3 reads AWS_DEFAULT_REGION alone; AWS's other tools, and Lambda, say AWS_REGION.
        session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
        if session.region_name is None:
            raise NoRegionError
        config = Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=10, read_timeout=60)
        return Aws(
            region=session.region_name,
            session=session,
            config=config,
            ec2=session.client("ec2", config=config),
            ssm=session.client("ssm", config=config),
            cloudformation=session.client("cloudformation", config=config),
            logs=session.client("logs", config=config),
            sts=session.client("sts", config=config),
        )


def error_code(error: ClientError) -> str:
    """AWS's word for an error."""
    return error.response.get("Error", {}).get("Code", "")


def is_denied(error: ClientError) -> bool:
    """Whether AWS refuses for want of a permission."""
    return error_code(error) in DENIED


def error_message(error: ClientError) -> str:
    """AWS's sentence for an error."""
    return error.response.get("Error", {}).get("Message", "").rstrip(".")


@contextmanager
def explain_errors() -> Iterator[None]:
    """Turn boto3's errors into ones that tell a person what to do."""
    try:
        yield
    except InfraError:
        raise
    except NoRegionError:
        raise AccessError(
            "No AWS region is set. Set HEARTH_EC2__REGION or AWS_REGION, or run `aws configure`."
        ) from None
    except (
        NoCredentialsError,
        PartialCredentialsError,
        CredentialRetrievalError,
        TokenRetrievalError,
        SSOError,
    ) as error:
        raise AccessError(
            f"There are no AWS credentials to use ({error}). "
            "Sign in (`aws sso login`, `aws configure`) or set AWS_PROFILE."
        ) from None
    except ProfileNotFound as error:
        raise AccessError(f"{error}. Set AWS_PROFILE to one that exists, or unset it.") from None
    except ClientError as error:
        raise _client_error(error) from None
    except WaiterError as error:
        raise InfraError(
            f"AWS did not get there in time: {error}. Look at it in the console, then run again."
        ) from None
    except ResponseParserError:  # it holds all of what was answered
        raise AccessError(
            "What answers is not AWS, or it makes no sense. Check the region, a proxy in between and AWS_ENDPOINT_URL."
        ) from None
    except (HTTPClientError, BotoCoreError, OSError) as error:
        raise AccessError(
            f"AWS cannot be reached: {error}. Check the network, the region and AWS_ENDPOINT_URL."
        ) from None


def _client_error(error: ClientError) -> InfraError:
    word, said, operation = error_code(error), error_message(error), error.operation_name
    if word in DENIED:
        return AccessError(
            f"AWS does not permit {operation}: {said}. "
            "`hearth infra policy deployer` prints what whoever runs `hearth infra` needs."
        )
    if word in _THROTTLED:
        return AccessError(
            f"AWS was asked too often ({operation}: {said}). Run again in a minute; it goes on where it was."
        )
    if word in _STALE:
        return AccessError(f"The AWS credentials have expired ({said}). Sign in again.")
    if word in _UNKNOWN:
        return AccessError(
            f"AWS does not accept the credentials ({operation}: {said}). Sign in again or set AWS_PROFILE."
        )
    return InfraError(f"AWS refused {operation} with {word}: {said}.")
