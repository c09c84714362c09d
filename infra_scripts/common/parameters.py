"""Parameters of SSM: read, found and deleted."""

from __future__ import annotations

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, code


def delete_parameters(aws: Aws, names: tuple[str, ...]) -> tuple[str, ...]:
    """Delete parameters; which of them there were."""
    return tuple(aws.ssm.delete_parameters(Names=list(names)).get("DeletedParameters", []))


def existing_parameters(aws: Aws, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these parameters exist; no secret is decrypted for it."""
    found = aws.ssm.get_parameters(Names=list(names), WithDecryption=False)["Parameters"]
    return tuple(parameter["Name"] for parameter in found)


def read_parameter(aws: Aws, name: str) -> str | None:
    """A plain parameter's value; None if there is none."""
    try:
        return aws.ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ClientError as error:
        if code(error) == "ParameterNotFound":
            return None
        raise
