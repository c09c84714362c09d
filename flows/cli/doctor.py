"""`hearth infra doctor`: find out whether a stack can be deployed, before anything is made or paid for."""

import typer

from flows.cli import options
from flows.cli.console import out, print_json
from flows.cli.findings import Found, finding_facts, findings_table
from flows.cli.infra import AllowFrom, Name, connected
from flows.stacks.registry import open_deployment
from infra_scripts.common.deployment import Options
from tasks.core.finding import State
from tasks.settings.settings import load_settings

_EXIT_MISSING = 1


def doctor(name: Name, allow_from: AllowFrom = None, as_json: options.Json = False) -> None:
    """Check whether a stack can be deployed; nothing is paid for.

    Pass the options that `hearth infra up` will get. The doctor checks the
    permissions of your credentials, quotas, zones, images and roles. EC2 runs
    its dry-run calls, and CloudFormation computes a change set, which is
    deleted again.

    Exit codes:
    0  no finding prevents `up`; what is unknown still may
    1  something is missing, or AWS did not answer
    2  a setting or an option is wrong
    """
    from infra_scripts.doctor.case import Case
    from infra_scripts.doctor.examine import examine

    settings = load_settings()
    aws = connected(settings)
    deployment = open_deployment(name, settings, Options(allow_from=tuple(allow_from or ())), aws.region)
    deployment.plan()  # rejects a wrong setting before AWS is called
    needs = deployment.needs()
    case = Case(aws, name.value, deployment.name, settings.ec2.pool, needs, deployment.request)
    found: Found = {}
    for subject, finding in examine(case):
        found.setdefault(subject, []).append(finding)
    missing = any(finding.state is State.MISSING for findings in found.values() for finding in findings)
    if as_json:
        checks = [finding_facts(subject, finding) for subject, findings in found.items() for finding in findings]
        head = {"stack": name.value, "name": deployment.name, "region": aws.region, "deployable": not missing}
        print_json({**head, "checks": checks})
    else:
        out.print(findings_table(found))
        verdict = "Something is missing." if missing else "No finding prevents the deployment."
        out.print(f"\n{verdict}", style="red" if missing else "green")
    if missing:
        raise typer.Exit(_EXIT_MISSING)
