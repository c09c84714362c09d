"""Service-linked roles: what AWS's services act with, made once in an account before they are needed.

A service makes its own when it is first used, if whoever uses it may; a fleet of EC2, or a stack that is being made,
then fails for want of one (docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html).
"""

from __future__ import annotations

from collections.abc import Iterable

from botocore.exceptions import ClientError

from infra_scripts.common.clients import DENIED, Aws, Listener, error_code, error_message


def ensure_linked_roles(aws: Aws, services: Iterable[str], listener: Listener) -> tuple[str, ...]:
    """Make the service-linked roles of services, such as spot.amazonaws.com, where the account has none yet.

    Whoever may not make them is told, and goes on: somebody else may have made them.

    Returns:
        The services whose roles were made.
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
            listener(f"The service-linked role of {service} was made.")
            made.append(service)
    return tuple(made)


def _is_there(error: ClientError) -> bool:
    """Whether IAM refuses because the account has the role already."""
    return error_code(error) in {"InvalidInput", "EntityAlreadyExists"} and (
        "has been taken" in error_message(error) or "already exists" in error_message(error)
    )
