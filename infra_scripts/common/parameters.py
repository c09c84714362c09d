"""SSM parameters."""

from typing import Literal

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, error_code


def delete_parameters(aws: Aws, names: tuple[str, ...]) -> tuple[str, ...]:
    """Delete parameters, and return those that existed."""
    return tuple(aws.ssm.delete_parameters(Names=list(names)).get("DeletedParameters", []))


def existing_parameters(aws: Aws, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parameters that exist, without decrypting secrets."""
    found = aws.ssm.get_parameters(Names=list(names), WithDecryption=False)["Parameters"]
    return tuple(parameter["Name"] for parameter in found)


def read_parameter(aws: Aws, name: str) -> str | None:
    """Return the value of a plain parameter; None if it does not exist."""
    try:
        return aws.ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ClientError as error:
        if error_code(error) == "ParameterNotFound":
            return None
        raise


def parameter_exists(aws: Aws, name: str) -> bool:
    """Whether a parameter exists; secrets are not decrypted."""
    return bool(existing_parameters(aws, (name,)))


def put_parameter(aws: Aws, pool: str, name: str, value: str, *, secret: bool) -> None:
    """Create or overwrite a parameter of a pool, encrypted if it is a secret."""
    kind: Literal["SecureString", "String"] = "SecureString" if secret else "String"
    if parameter_exists(aws, name):
        aws.ssm.put_parameter(Name=name, Value=value, Type=kind, Overwrite=True)
    else:
        aws.ssm.put_parameter(Name=name, Value=value, Type=kind, Tags=[{"Key": "hearth:pool", "Value": pool}])
