"""All checks of a stack, in the order in which `up` would fail."""

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from infra_scripts.common.clients import error_message, explain_errors, is_denied
from infra_scripts.common.errors import InfraError
from infra_scripts.doctor.account import concurrency, container, quotas, roles
from infra_scripts.doctor.case import Case, Look
from infra_scripts.doctor.change_set import change_set
from infra_scripts.doctor.machines import dry_run, images, zones
from infra_scripts.doctor.permissions import credentials, permissions
from tasks.core.finding import Finding, State

LOOKS: dict[str, Look] = {
    "permissions": permissions,
    "roles": roles,
    "zones": zones,
    "image": images,
    "container": container,
    "dry run": dry_run,
    "change set": change_set,
    "quotas": quotas,
    "concurrency": concurrency,
}


def examine(case: Case) -> Iterator[tuple[str, Finding]]:
    """Run all checks, and yield each finding with the name of its check. Without credentials the others are skipped."""
    found = _looked(credentials, case, State.MISSING)
    for finding in found:
        yield "credentials", finding
    if any(finding.state is State.MISSING for finding in found):
        return
    for what, look in LOOKS.items():
        for finding in _looked(look, case, State.UNKNOWN):
            yield what, finding


def _looked(look: Look, case: Case, otherwise: State) -> list[Finding]:
    """Return a check's findings. An error is its last finding: `up` would meet it, too, or only the check does."""
    found: list[Finding] = []
    try:
        for finding in look(case):
            found.append(finding)  # noqa: PERF402 - findings before an error count
    except InfraError as error:  # `up` would meet it, too
        found.append(Finding(State.MISSING, str(error)))
    except (ClientError, BotoCoreError, ResponseParserError, OSError) as error:
        found.append(_failed(error, otherwise))
    return found


def _failed(error: Exception, state: State) -> Finding:
    if isinstance(error, ClientError) and is_denied(error):
        why = f"AWS does not permit {error.operation_name}: {error_message(error)}."
        return Finding(state, why, "`hearth infra policy doctor` prints the permissions of this check.")
    try:
        with explain_errors():
            raise error
    except InfraError as plain:
        return Finding(state, str(plain))
