"""Parameters of SSM: read, found and deleted."""

from __future__ import annotations

from typing import Literal

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, error_code


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
        if error_code(error) == "ParameterNotFound":
            return None
        raise


def parameter_exists(aws: Aws, name: str) -> bool:
    """Whether there is one of this name; no secret is decrypted for it."""
    return bool(existing_parameters(aws, (name,)))


def put_parameter(aws: Aws, pool: str, name: str, value: str, *, secret: bool) -> None:
    """Set a parameter of a pool, encrypted if it is a secret."""
    kind: Literal["SecureString", "String"] = "SecureString" if secret else "String"
    if parameter_exists(aws, name):
        aws.ssm.put_parameter(Name=name, Value=value, Type=kind, Overwrite=True)
    else:
        aws.ssm.put_parameter(Name=name, Value=value, Type=kind, Tags=[{"Key": "hearth:pool", "Value": pool}])
