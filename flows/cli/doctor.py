"""`hearth infra doctor`: whether a stack could be brought up, before anything is made or paid for."""

from __future__ import annotations

import json

import typer

from flows.cli import options
from flows.cli.console import Terminal, write
from flows.cli.findings import Found, finding_facts, findings_table
from flows.cli.infra import AllowFrom, Name, connected, errors
from flows.stacks.registry import open_deployment
from infra_scripts.common.deployment import Options
from tasks.core.finding import State
from tasks.settings.settings import load_settings

_EXIT_MISSING = 1
_out = Terminal()


def doctor(name: Name, allow_from: AllowFrom = None, as_json: options.Json = False) -> None:
    """Find out whether a stack could be brought up; nothing is paid for.

    Give the options that `hearth infra up` will get. AWS is asked about the
    permissions of the credentials, quotas, zones, images and roles; EC2 tries
    what can be tried; CloudFormation works out a change set, which is deleted
    again.

    Exit codes:
    0  nothing that was found is in the way of `up`; what is unknown may be
    1  something is missing, or AWS cannot be asked
    2  a setting or an option is wrong
    """
    from infra_scripts.doctor.case import Case
    from infra_scripts.doctor.examine import examine

    with errors():
        settings = load_settings()
        aws = connected(settings)
        deployment = open_deployment(name, settings, Options(allow_from=tuple(allow_from or ())), aws.region)
        deployment.plan()  # a wrong setting is refused before AWS is asked
        needs = deployment.needs()
        case = Case(aws, name.value, deployment.name, settings.ec2.pool, needs, deployment.request_for)
        found: Found = {}
        for of, finding in examine(case):
            found.setdefault(of, []).append(finding)
    missing = any(finding.state is State.MISSING for findings in found.values() for finding in findings)
    if as_json:
        checks = [finding_facts(of, finding) for of, findings in found.items() for finding in findings]
        head = {"stack": name.value, "name": deployment.name, "region": aws.region, "deployable": not missing}
        write(json.dumps({**head, "checks": checks}) + "\n")
    else:
        _out.print(findings_table(found))
        told = "Something is missing." if missing else "Nothing that was found is in the way."
        _out.print(f"\n{told}", style="red" if missing else "green")
    if missing:
        raise typer.Exit(_EXIT_MISSING)
