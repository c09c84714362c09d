"""Whose credentials these are, and whether they may do what the stack's deployer does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import error_code
from infra_scripts.doctor.case import Case
from infra_scripts.iam.need import Permission, required_permissions
from infra_scripts.iam.rendered import Place
from tasks.core.finding import Finding, State

_AT_ONCE = 50
"""Actions of one simulation."""
_SHOWN = 12
_ALLOWED = "allowed"
_SEVERAL = {"aws:TagKeys"}
"""Condition keys of which a request may have several values."""
_Context = tuple[tuple[str, tuple[str, ...]], ...]


def credentials(case: Case) -> Iterator[Finding]:
    """Ask AWS who this is."""
    yield Finding(State.OK, f"AWS knows the credentials: {case.arn} in {case.aws.region}.")


def permissions(case: Case) -> Iterator[Finding]:
    """Simulate what the deployer does against all policies of who asks, boundaries and those of the organization too.

    Policies of resources and of the session, if the credentials have one, are not part of it.
    """
    principal = _principal(case)
    if isinstance(principal, Finding):
        yield principal
        return
    wanted = required_permissions(case.request, Place(case.account, case.aws.region, case.name))
    refused = sorted(set(_refused(case, principal, wanted)))
    remedy = f"Attach what `hearth infra policy deployer {case.stack}` prints, or have the boundary lifted."
    if refused:
        shown = ", ".join(refused[:_SHOWN]) + (f" and {len(refused) - _SHOWN} more" if refused[_SHOWN:] else "")
        yield Finding(State.MISSING, f"{principal} may not: {shown}.", remedy)
    else:
        count = len({permission.action for permission in wanted})
        yield Finding(State.OK, f"{principal} may do the {count} actions that the template takes.")


def is_allowed(case: Case, action: str, resource: str, context: dict[str, str]) -> bool | None:
    """Whether who asks may do one thing; None if that cannot be found out."""
    try:
        principal = _principal(case)
        if isinstance(principal, Finding):
            return None
        filled = {key: (value,) for key, value in context.items()}
        return not list(_refused(case, principal, [Permission(action, resource, filled)]))
    except ClientError:
        return None


def _principal(case: Case) -> str | Finding:
    """The ARN of the user or role whose policies count, or why there is none that could be asked about."""
    arn = case.arn
    kind = arn.split(":")[5].split("/")
    if kind[0] == "user":
        return arn
    if kind[0] == "assumed-role":
        try:
            # A session's ARN leaves out the path of its role.
            return str(case.client("iam").get_role(RoleName=kind[1])["Role"]["Arn"])
        except ClientError as error:
            if error_code(error) != "NoSuchEntity":
                raise
            return Finding(State.UNKNOWN, f"The role {kind[1]} of the credentials is in another account.")
    why = f"IAM simulates no policies of {arn}: that is neither a user nor a role."
    return Finding(State.UNKNOWN, why, "Deploy with a role of its own.")


def _refused(case: Case, principal: str, wanted: Iterable[Permission]) -> Iterator[str]:
    """The actions that would be refused, with what refuses them where it is not simply no policy.

    One simulation asks for all actions that have a resource and the circumstances in common.
    """
    for (resource, context), actions in _grouped(wanted).items():
        for first in range(0, len(actions), _AT_ONCE):
            pages = (
                case.client("iam")
                .get_paginator("simulate_principal_policy")
                .paginate(
                    PolicySourceArn=principal,
                    ActionNames=actions[first : first + _AT_ONCE],
                    ResourceArns=[resource],
                    ContextEntries=[_entry(key, values) for key, values in context],
                )
            )
            for page in pages:
                yield from (
                    f"{result['EvalActionName']}{_why(result)}"
                    for result in page["EvaluationResults"]
                    if result["EvalDecision"] != _ALLOWED
                )


def _grouped(wanted: Iterable[Permission]) -> dict[tuple[str, _Context], list[str]]:
    groups: dict[tuple[str, _Context], list[str]] = {}
    for permission in wanted:
        context = tuple(sorted(permission.context.items()))
        groups.setdefault((permission.resource, context), []).append(permission.action)
    return groups


def _entry(key: str, values: tuple[str, ...]) -> dict[str, Any]:
    kind = "stringList" if key in _SEVERAL else "string"
    return {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": list(values)}


def _why(result: dict[str, Any]) -> str:
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return " (by the organization)"
    if not result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True):
        return " (by the permissions boundary)"
    return " (denied explicitly)" if result["EvalDecision"] == "explicitDeny" else ""
