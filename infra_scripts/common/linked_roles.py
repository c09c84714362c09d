"""Service-linked roles, with which AWS's services act: created once in an account, before a deployment needs them.

A service creates its role when it is first used, if the user may do that; otherwise an EC2 fleet, or the creation of a
stack, fails (docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html).
"""

from collections.abc import Iterable

from botocore.exceptions import ClientError

from infra_scripts.common.clients import DENIED, Aws, Listener, error_code, error_message


def ensure_linked_roles(aws: Aws, services: Iterable[str], listener: Listener) -> tuple[str, ...]:
    """Create the missing service-linked roles of services, such as spot.amazonaws.com.

    A missing permission is only reported, because the role may exist already.

    Returns:
        The services whose roles were created.
    """
    iam = aws.session.client("iam", config=aws.config)
    made = []
    for service in services:
        try:
            iam.create_service_linked_role(AWSServiceName=service)
        except ClientError as error:
            if error_code(error) in DENIED:
                listener(
                    f"The service-linked role of {service} could not be created ({error_message(error)}). If the "
                    "account does not have it yet, the deployment will fail: `hearth infra policy deployer` prints the "
                    "permission that is needed."
                )
            elif not _is_there(error):
                raise
        else:
            listener(f"The service-linked role of {service} was created.")
            made.append(service)
    return tuple(made)


def _is_there(error: ClientError) -> bool:
    """Whether IAM refused because the account already has the role."""
    return error_code(error) in {"InvalidInput", "EntityAlreadyExists"} and (
        "has been taken" in error_message(error) or "already exists" in error_message(error)
    )
