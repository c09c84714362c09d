"""Whose credentials these are, and whether they may do what the stack's deployer does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import code
from infra_scripts.common.policy import Who, policy
from infra_scripts.doctor.case import Case
from infra_scripts.doctor.need import Need, needs_of
from tasks.core.finding import Finding, State

_AT_ONCE = 50
"""Actions of one simulation."""
_SHOWN = 12
_ALLOWED = "allowed"


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
    needs = tuple(needs_of([_deployers(case)]))
    refused = sorted(set(_refused(case, principal, needs)))
    remedy = f"Attach what `hearth infra policy deployer {case.stack}` prints, or have the boundary lifted."
    if refused:
        shown = ", ".join(refused[:_SHOWN]) + (f" and {len(refused) - _SHOWN} more" if refused[_SHOWN:] else "")
        yield Finding(State.MISSING, f"{principal} may not: {shown}.", remedy)
    else:
        count = len({action for need in needs for action in need.actions})
        yield Finding(State.OK, f"{principal} may do the {count} actions of the deployer's policy.")


def may(case: Case, action: str, resource: str, context: dict[str, str]) -> bool | None:
    """Whether who asks may do one thing; None if that cannot be found out."""
    try:
        principal = _principal(case)
        if isinstance(principal, Finding):
            return None
        entries = tuple((key, "string", (value,)) for key, value in context.items())
        return not list(_refused(case, principal, [Need((action,), (resource,), entries)]))
    except ClientError:
        return None


def _deployers(case: Case) -> dict[str, Any]:
    return policy(Who.DEPLOYER, pool=case.pool, account=case.account, region=case.aws.region, stack=case.stack)


def _principal(case: Case) -> str | Finding:
    """The ARN of the user or role whose policies count, or why there is none that could be asked about."""
    arn = case.arn
    kind = arn.split(":")[5].split("/")
    if kind[0] == "user":
        return arn
    if kind[0] == "assumed-role":
        try:
            # A session's ARN leaves out the path of its role.
            return str(_iam(case).get_role(RoleName=kind[1])["Role"]["Arn"])
        except ClientError as error:
            if code(error) != "NoSuchEntity":
                raise
            return Finding(State.UNKNOWN, f"The role {kind[1]} of the credentials is in another account.")
    why = f"IAM simulates no policies of {arn}: that is neither a user nor a role."
    return Finding(State.UNKNOWN, why, "Deploy with a role of its own.")


def _refused(case: Case, principal: str, needs: Iterable[Need]) -> Iterator[str]:
    """The actions that would be refused, with what refuses them where it is not simply no policy."""
    for need in needs:
        for first in range(0, len(need.actions), _AT_ONCE):
            pages = (
                _iam(case)
                .get_paginator("simulate_principal_policy")
                .paginate(
                    PolicySourceArn=principal,
                    ActionNames=list(need.actions[first : first + _AT_ONCE]),
                    ResourceArns=list(need.resources),
                    ContextEntries=need.entries(),
                )
            )
            for page in pages:
                yield from (
                    f"{result['EvalActionName']}{_why(result)}"
                    for result in page["EvaluationResults"]
                    if result["EvalDecision"] != _ALLOWED
                )


def _why(result: dict[str, Any]) -> str:
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return " (by the organization)"
    if not result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True):
        return " (by the permissions boundary)"
    return " (denied explicitly)" if result["EvalDecision"] == "explicitDeny" else ""


def _iam(case: Case) -> Any:  # noqa: ANN401 - IAM has no types here
    return case.aws.session.client("iam", config=case.aws.config)
