"""boto3's clients, and their errors as messages for people."""

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
"""Receives a sentence about each step."""

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    SSOError,
)
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "UnauthorizedException"}
_THROTTLED = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"}
_STALE = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_INVALID = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
    "SignatureDoesNotMatch",
    "OptInRequired",
}


@dataclass(frozen=True)
class Aws:
    """The clients of one region. A stack creates other clients itself, from `session` and `config`."""

    region: str
    session: boto3.Session
    config: Config
    ec2: EC2Client
    ssm: SSMClient
    cloudformation: CloudFormationClient
    logs: CloudWatchLogsClient
    sts: STSClient

    def account(self) -> str:
        """Return the account's number."""
        return self.sts.get_caller_identity()["Account"]


def connect(region: str | None = None) -> Aws:
    """Create the clients from AWS's own configuration, whose region `region` overrides.

    Raises:
        AccessError: no region is configured, or the profile does not exist.
    """
    with explain_errors():
        # boto3 reads only AWS_DEFAULT_REGION; AWS's other tools, and Lambda, set AWS_REGION.
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
    """Return AWS's code of an error."""
    return error.response.get("Error", {}).get("Code", "")


def is_denied(error: ClientError) -> bool:
    """Whether AWS refused a request because a permission is missing."""
    return error_code(error) in DENIED


def error_message(error: ClientError) -> str:
    """Return AWS's message of an error, without the period at its end."""
    return error.response.get("Error", {}).get("Message", "").rstrip(".")


@contextmanager
def explain_errors() -> Iterator[None]:
    """Translate boto3's errors into InfraErrors that say what to do."""
    try:
        yield
    except InfraError:
        raise
    except NoRegionError:
        raise AccessError(
            "No AWS region is set. Set HEARTH_EC2__REGION or AWS_REGION, or run `aws configure`."
        ) from None
    except _NO_CREDENTIALS as error:
        raise AccessError(
            f"No AWS credentials were found ({error}). Sign in (`aws sso login`, `aws configure`) or set AWS_PROFILE."
        ) from None
    except ProfileNotFound as error:
        raise AccessError(f"{error}. Set AWS_PROFILE to an existing profile, or unset it.") from None
    except ClientError as error:
        raise _client_error(error) from None
    except WaiterError as error:
        raise InfraError(
            f"AWS did not finish in time: {error}. Check its state in the console, then run again."
        ) from None
    except ResponseParserError:  # it holds the whole response
        raise AccessError(
            "The server's response is not one of AWS. Check the region, proxies and AWS_ENDPOINT_URL."
        ) from None
    except (HTTPClientError, BotoCoreError, OSError) as error:
        raise AccessError(
            f"AWS cannot be reached: {error}. Check the network, the region and AWS_ENDPOINT_URL."
        ) from None


def _client_error(error: ClientError) -> InfraError:
    code, message, operation = error_code(error), error_message(error), error.operation_name
    if code in DENIED:
        return AccessError(
            f"AWS does not permit {operation}: {message}. `hearth infra policy deployer` prints the permissions that "
            "`hearth infra` needs."
        )
    if code in _THROTTLED:
        return AccessError(
            f"AWS throttled {operation}: {message}. Run again in a minute; it continues where it stopped."
        )
    if code in _STALE:
        return AccessError(f"The AWS credentials have expired ({message}). Sign in again.")
    if code in _INVALID:
        return AccessError(f"AWS rejected the credentials ({operation}: {message}). Sign in again or set AWS_PROFILE.")
    return InfraError(f"AWS refused {operation} with {code}: {message}.")
