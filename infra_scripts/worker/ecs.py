"""The base job template of an ECS work pool: prefect-aws's template with defaults for Hearth's runs.

`python -m infra_scripts.worker.ecs --help` prints the options, and without `--help` the template, which is the
`--base-job-template` of `prefect work-pool create hearth --type ecs`; see docs/how-to/prefect-elsewhere.md.
"""

import json
import sys
from typing import Annotated, Any

import typer

from infra_scripts.common.errors import RequestError

# A run only renders pages and keeps records; models run elsewhere. Fargate offers 4 to 16 GB for 2 vCPU.
_CPU, _MEMORY_MB = 2048, 4096


def job_template(defaults: dict[str, Any]) -> dict[str, Any]:
    """Return prefect-aws's template with other defaults of its variables.

    Raises:
        RequestError: prefect-aws is missing, or its version has other variables.
    """
    try:
        from prefect_aws.workers.ecs_worker import ECSWorker
    except ImportError:
        raise RequestError("The ECS worker is part of prefect-aws: pip install 'hearth-pages[aws]'.") from None
    template: dict[str, Any] = ECSWorker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    unknown = sorted(defaults.keys() - variables.keys())
    if unknown:
        raise RequestError(f"This prefect-aws's ECS worker has no {', '.join(unknown)}. Install prefect-aws 0.5.")
    for name, value in defaults.items():
        variables[name]["default"] = value
    return template


def main(
    image: Annotated[str, typer.Option(help="Container image with Hearth installed, see Dockerfile.")],
    cluster: Annotated[str, typer.Option(help="ARN or name of the ECS cluster.")],
    task_role: Annotated[
        str, typer.Option(help="ARN of the role of the runs: the policy of `hearth infra policy caller`, and S3.")
    ],
    execution_role: Annotated[str, typer.Option(help="ARN of the role that pulls the image and writes logs.")],
    vpc: Annotated[str, typer.Option(help="Id of the VPC of the subnets.")],
    subnet: Annotated[
        list[str],
        typer.Option(help="Id of a subnet that reaches Prefect's API, ECR and the machines; repeatable."),
    ],
    security_group: Annotated[
        list[str], typer.Option(help="Id of a security group, which the machines' group must admit; repeatable.")
    ],
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Environment variable of the runs, such as HEARTH_OUTPUT; no secret, because Prefect shows it; "
            "repeatable.",
        ),
    ] = None,
) -> None:
    """Print the template. Flows run on Fargate, because models run on the backend's machines."""
    network = {"subnets": subnet, "securityGroups": security_group, "assignPublicIp": "DISABLED"}
    defaults = {
        "image": image,
        "cluster": cluster,
        "launch_type": "FARGATE",
        "cpu": _CPU,
        "memory": _MEMORY_MB,
        "task_role_arn": task_role,
        "execution_role_arn": execution_role,
        "vpc_id": vpc,
        "network_configuration": {"awsvpcConfiguration": network},
        "configure_cloudwatch_logs": True,
        "env": dict(variable.split("=", 1) for variable in env or ()),
    }
    sys.stdout.write(json.dumps(job_template(defaults), indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
