"""All questions about a stack, in the order in which `up` would meet their answers."""

from __future__ import annotations

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
    """Ask everything, and yield each answer with what it is about. Without credentials nothing else is asked."""
    found = _looked(credentials, case, State.MISSING)
    for finding in found:
        yield "credentials", finding
    if any(finding.state is State.MISSING for finding in found):
        return
    for what, look in LOOKS.items():
        for finding in _looked(look, case, State.UNKNOWN):
            yield what, finding


def _looked(look: Look, case: Case, otherwise: State) -> list[Finding]:
    """Return what a look finds. Its error is the last of it: in the way of `up`, or only of the look."""
    found: list[Finding] = []
    try:
        for finding in look(case):
            found.append(finding)  # noqa: PERF402 - what was found before an error counts
    except InfraError as error:  # of what `up` does first, too
        found.append(Finding(State.MISSING, str(error)))
    except (ClientError, BotoCoreError, ResponseParserError, OSError) as error:
        found.append(_unasked(error, otherwise))
    return found


def _unasked(error: Exception, state: State) -> Finding:
    if isinstance(error, ClientError) and is_denied(error):
        why = f"AWS does not permit {error.operation_name}: {error_message(error)}."
        return Finding(state, why, "`hearth infra policy doctor` prints what this check asks.")
    try:
        with explain_errors():
            raise error
    except InfraError as plain:
        return Finding(state, str(plain))
