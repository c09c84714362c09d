"""AWS's errors as Hearth's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.core.errors import CloudError

NO_REGION = "NoRegion"
"""The code of a CloudError: AWS is not configured here at all."""
DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure"}
_EXPIRED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}
_THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "ProvisionedThroughputExceededException"}


@contextmanager
def wrap_errors(operation: str) -> Iterator[None]:
    """Turn botocore's errors into a CloudError that says what to do."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _refusal(error) from None
    except NoCredentialsError:
        raise CloudError(
            "AWS credentials are missing. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or run where a role gives them."
        ) from None
    except NoRegionError:
        raise CloudError("No AWS region is set. Set HEARTH_EC2__REGION or AWS_REGION.", NO_REGION) from None
    except RuntimeError as error:
        # botocore raises it for credentials that are still expired after a refresh.
        if "credentials" not in str(error):
            raise
        raise CloudError(f"AWS does not accept the credentials: {error}. Renew them.", "ExpiredToken") from None
    except (BotoCoreError, ResponseParserError) as error:
        raise CloudError(f"AWS could not be reached ({operation}): {str(error).rstrip('.')}. Try again.") from None


def _refusal(error: Any) -> CloudError:  # noqa: ANN401 - botocore ships no types of its own
    code = str(error.response.get("Error", {}).get("Code", ""))
    # AWS's message may hold an encoded policy of several kilobytes.
    message = str(error.response.get("Error", {}).get("Message", ""))[:300].rstrip(". ")
    operation = error.operation_name
    if code in DENIED:
        remedy = f"Allow {operation}: `hearth infra policy caller` prints the policy that suffices"
        return CloudError(f"AWS does not permit {operation}: {message}. {remedy}.", code)
    if code in _EXPIRED:
        return CloudError(f"AWS does not accept the credentials: {message}. Renew them.", code)
    if code in _THROTTLED:
        return CloudError(f"AWS still throttles {operation} after several attempts. Try again in a minute.", code)
    return CloudError(f"AWS refused {operation}: {message} ({code}).", code)
