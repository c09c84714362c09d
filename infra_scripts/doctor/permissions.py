"""Check the credentials, and whether they have the permissions of the stack's deployer."""

from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import error_code
from infra_scripts.doctor.case import Case
from infra_scripts.iam.need import Permission, required_permissions
from infra_scripts.iam.rendered import Place
from tasks.core.finding import Finding, State

_MAX_ACTIONS = 50
"""Actions in one simulation."""
_SHOWN = 12
_MULTIVALUED = {"aws:TagKeys"}
"""Condition keys that may have several values in a request."""
_Context = tuple[tuple[str, tuple[str, ...]], ...]


def credentials(case: Case) -> Iterator[Finding]:
    """Ask AWS for the identity of the credentials."""
    yield Finding(State.OK, f"AWS accepts the credentials: {case.arn} in {case.aws.region}.")


def permissions(case: Case) -> Iterator[Finding]:
    """Simulate the deployer's actions against the caller's policies, including boundaries and the organization's.

    Policies of resources and of the session are not simulated.
    """
    principal = _principal(case)
    if isinstance(principal, Finding):
        yield principal
        return
    required = required_permissions(case.request, Place(case.account, case.aws.region, case.name))
    refused = sorted(set(_refused(case, principal, required)))
    remedy = f"Attach the policy that `hearth infra policy deployer {case.stack}` prints, or have the boundary removed."
    if refused:
        shown = ", ".join(refused[:_SHOWN]) + (f" and {len(refused) - _SHOWN} more" if refused[_SHOWN:] else "")
        yield Finding(State.MISSING, f"{principal} may not: {shown}.", remedy)
    else:
        count = len({permission.action for permission in required})
        yield Finding(State.OK, f"{principal} may do the {count} actions that the template needs.")


def is_allowed(case: Case, action: str, resource: str, context: dict[str, str]) -> bool | None:
    """Whether the caller may do one action; None if that cannot be simulated."""
    try:
        principal = _principal(case)
        if isinstance(principal, Finding):
            return None
        filled = {key: (value,) for key, value in context.items()}
        return not list(_refused(case, principal, [Permission(action, resource, filled)]))
    except ClientError:
        return None


def _principal(case: Case) -> str | Finding:
    """Return the ARN of the user or role whose policies apply, or a finding if its policies cannot be simulated."""
    arn = case.arn
    kind = arn.split(":")[5].split("/")
    if kind[0] == "user":
        return arn
    if kind[0] == "assumed-role":
        try:
            # A session's ARN omits the path of its role.
            return str(case.client("iam").get_role(RoleName=kind[1])["Role"]["Arn"])
        except ClientError as error:
            if error_code(error) != "NoSuchEntity":
                raise
            return Finding(State.UNKNOWN, f"The role {kind[1]} of the credentials is in another account.")
    why = f"IAM cannot simulate the policies of {arn}, which is neither a user nor a role."
    return Finding(State.UNKNOWN, why, "Deploy with a role.")


def _refused(case: Case, principal: str, required: Iterable[Permission]) -> Iterator[str]:
    """Yield the actions that would be refused, with the reason unless a policy is simply missing.

    One simulation covers all actions with the same resource and context.
    """
    groups: dict[tuple[str, _Context], list[str]] = {}
    for permission in required:
        key = permission.resource, tuple(sorted(permission.context.items()))
        groups.setdefault(key, []).append(permission.action)
    simulations = case.client("iam").get_paginator("simulate_principal_policy")
    for (resource, context), actions in groups.items():
        for first in range(0, len(actions), _MAX_ACTIONS):
            for page in simulations.paginate(
                PolicySourceArn=principal,
                ActionNames=actions[first : first + _MAX_ACTIONS],
                ResourceArns=[resource],
                ContextEntries=[_entry(name, values) for name, values in context],
            ):
                for result in page["EvaluationResults"]:
                    if result["EvalDecision"] != "allowed":
                        yield f"{result['EvalActionName']}{_why(result)}"


def _entry(key: str, values: tuple[str, ...]) -> dict[str, Any]:
    kind = "stringList" if key in _MULTIVALUED else "string"
    return {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": list(values)}


def _why(result: dict[str, Any]) -> str:
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return " (by the organization)"
    if not result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True):
        return " (by the permissions boundary)"
    return " (denied explicitly)" if result["EvalDecision"] == "explicitDeny" else ""
